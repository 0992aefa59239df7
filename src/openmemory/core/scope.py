"""Who is asking: the value every access to a tenant's rows needs."""

import unicodedata
from dataclasses import dataclass

NAME_MAX_BYTES = 128
# Format characters (zero width, direction), spaces that are not the plain one, line and paragraph separators.
_UNSEEN = frozenset({"Cf", "Zs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Scope:
    """A proved tenant, and the user and project inside it that the work is narrowed to.

    The tenant is proved before a scope is made: by authentication, or by owning the process. `user=None` and
    `project=None` mean all of the tenant.
    """

    tenant: str
    user: str | None = None
    project: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("tenant", self.tenant), ("user", self.user), ("project", self.project)):
            if value is not None and (problem := name_problem(value)):
                raise ValueError(f"{name} {problem}")

    def narrowed(self, user: str | None, project: str | None) -> "Scope":
        """Return this scope for one user or project inside it; raises ValueError if it is narrowed to another."""
        for name, own, asked in (("user", self.user, user), ("project", self.project, project)):
            if own is not None and asked not in (None, own):
                raise ValueError(f"{name} is not the one that was proved")
        return Scope(self.tenant, user or self.user, project or self.project)


def tenant_problem(value: str) -> str | None:
    """Return why a request may not name a tenant `value`, or None if it may.

    Stricter than `name_problem`: no two tenants look the same in a log, and proxies join a repeated header by commas.
    """
    if problem := name_problem(value):
        return problem
    if value != value.strip():
        return "begins or ends with white space"
    if "," in value:
        return "has a comma, by which proxies join two headers into one"
    if any(unicodedata.category(char) in _UNSEEN and char != " " for char in value):
        return "has an invisible character"
    return None


def name_problem(value: str) -> str | None:
    """Return why `value` cannot name a tenant, user, project, session or speaker, or None if it can."""
    if not value:
        return "is empty"
    if len(value) <= NAME_MAX_BYTES and value.isascii() and value.isprintable():
        return None
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode (a lone surrogate)"
    if size_bytes > NAME_MAX_BYTES:
        return f"is {size_bytes} bytes long; at most {NAME_MAX_BYTES}"
    if any(unicodedata.category(char) == "Cc" for char in value):
        return "has a control character"
    return None
