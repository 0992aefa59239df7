"""What can go wrong, in the words of the domain.

Each class carries a stable `code` (the last part of the problem's type) and a `title`; the message is the detail.
`server/problems.py` gives each its status; nobody raises an HTTP error below the server room.
"""

from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field of a request and what is wrong with it."""

    field: str
    message: str


class OpenMemoryError(Exception):
    """The family of everything this package raises on purpose."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"

    fields: tuple[FieldError, ...] = ()
    """Which fields of a request it is about, if any."""

    @property
    def detail(self) -> str:
        """Return what was wrong with which value, and the way out."""
        return str(self)

    def inside(self, prefix: str) -> Self:
        """Return the same error of a part of a request, whose place is `prefix`; one of no field is the same there."""
        return self


class _OfFields(Exception):
    """What can say which fields of a request it is about."""

    def __init__(self, message: str, fields: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields

    @classmethod
    def at(cls, field: str, message: str) -> Self:
        """Return the error of one field."""
        return cls(f"{field}: {message}", (FieldError(field, message),))

    def inside(self, prefix: str) -> Self:
        """Return the same error of a part, whose place in the request is `prefix`."""
        fields = tuple(FieldError(f"{prefix}.{one.field}", one.message) for one in self.fields)
        return type(self)("; ".join(f"{one.field}: {one.message}" for one in fields) or str(self), fields)


class Malformed(_OfFields, OpenMemoryError):
    """The request cannot be read: a missing or wrong field, a broken body."""

    code = "malformed"
    title = "The request is malformed"


class Unprocessable(_OfFields, OpenMemoryError):
    """The request is well formed and asks for something impossible."""

    code = "unprocessable"
    title = "The request cannot be carried out"


class MemoryNotFound(OpenMemoryError):
    """No such memory in this tenant; another tenant's memory is one of these."""

    code = "memory-not-found"
    title = "No such memory"


class AnotherUsersMemory(OpenMemoryError):
    """The memory belongs to another user of the same tenant."""

    code = "another-users-memory"
    title = "The memory belongs to another user"


class MemoryExists(_OfFields, OpenMemoryError):
    """The id, or the text a change would lead to, is taken."""

    code = "memory-exists"
    title = "The memory exists already"


class VersionChanged(OpenMemoryError):
    """If-Match named a version that is not the current one."""

    code = "version-changed"
    title = "The memory has changed since"


class IdempotencyConflict(OpenMemoryError):
    """The first request with this Idempotency-Key is still running."""

    code = "idempotency-conflict"
    title = "The first request with this key is still running"


class IdempotencyMismatch(OpenMemoryError):
    """The Idempotency-Key was used with another body."""

    code = "idempotency-mismatch"
    title = "The key was used for another request"


class CredentialsMissing(OpenMemoryError):
    """Nothing proves who is asking."""

    code = "credentials-missing"
    title = "Who is asking is not proved"


class CredentialsInvalid(OpenMemoryError):
    """The credential is wrong; which part is not said."""

    code = "credentials-invalid"
    title = "The credential is not accepted"


class TenantForbidden(OpenMemoryError):
    """The tenant is suspended, deleted, or not the asker's to name."""

    code = "tenant-forbidden"
    title = "The tenant may not be used"


class RequestTimeout(OpenMemoryError):
    """The body stopped on its way, or took longer than one may."""

    code = "request-timeout"
    title = "The body did not arrive in time"


class TooLarge(OpenMemoryError):
    """The body is over the limit."""

    code = "too-large"
    title = "The request is too large"


class MediaTypeUnsupported(OpenMemoryError):
    """The body is not JSON."""

    code = "media-type-unsupported"
    title = "The body must be JSON"


class RateLimited(OpenMemoryError):
    """One tenant asks for more at once than its share."""

    code = "rate-limited"
    title = "Too many requests at once"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(OpenMemoryError):
    """The requests of all tenants together take all the memory, searches or connections that they may."""

    code = "overloaded"
    title = "The server has too much to do at once"


class Stopping(OpenMemoryError):
    """The server stops, and has waited for this request as long as it may."""

    code = "stopping"
    title = "The server is stopping"


class EmbedderUnavailable(OpenMemoryError):
    """The embedding provider does not answer, or refuses.

    `kind` is what went wrong, for the log: `status` (the `status` it answered), `timeout`, `unreached`, `answer` (one
    that cannot be used).
    """

    code = "embedder-unavailable"
    title = "The embedding provider is unavailable"

    def __init__(
        self,
        message: str,
        retry_after_s: int = 1,
        *,
        kind: str | None = None,
        host: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.kind, self.host, self.status = kind, host, status


class DatabaseUnavailable(OpenMemoryError):
    """PostgreSQL cannot be reached, or gave up on the statement."""

    code = "database-unavailable"
    title = "The database is unavailable"


class DatabaseConflict(DatabaseUnavailable):
    """Two transactions waited for each other and this one lost; trying again is the remedy."""


class ConfigurationError(OpenMemoryError):
    """The server may not start like this; the message says what to set, run or grant."""

    code = "configuration"
    title = "The configuration does not work"
