"""Say why a connection failed and which setting to look at, but never the password.

libpq gives no SQLSTATE for a failed connection, so the words of its message are read. If they are unknown or in another
language, every setting that may be wrong is named.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from openmemory.errors import ConfigurationError, DatabaseUnavailable

_SHOWN_CHARS = 200
# libpq writes one line for each address and each kind of encryption that it tried.
_TRIED = re.compile(r"^.*(?:connection to server (?:at|on) .*? failed|connection (?:failed|is bad)):\s*")
# A quoted name, with the quotation marks of several languages; an apostrophe is none.
_NAME = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)|[»«„“”][^»«„“”]*[»«“”]")
_UNKNOWN_KEYWORD = re.compile(r'invalid (?:connection option|URI query parameter:) "(\w+)"')
_SEVERITY = re.compile(r"^[A-Z]+:\s+")
# As libpq reads it: a / ends the search for a user, so it takes the "pass" of ada:pass/word@db for a port.
_URI = re.compile(r"postgres(?:ql)?://(?:[^@/]*@)?(?P<address>[^?]*)(?P<options>.*)", re.DOTALL)
_PORTS = re.compile(r"[\d,\s]*")  # one a host


class OwnServer(str):
    """The connection string of the embedded server, which no setting names."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _Way:
    """The target of a connection, and the settings that name it."""

    host: str
    port: str
    database: str
    user: str
    by_string: bool
    is_embedded: bool
    is_named_apart: bool
    """The user comes from OM_PG_APP_USER, not from the connection string."""

    def __str__(self) -> str:
        return f"{self.host} port {self.port}, database {self.database}, as {self.user}"

    @property
    def server_settings(self) -> str:
        """The settings that name the server."""
        return self._of("OM_PG_HOST and OM_PG_PORT")

    @property
    def database_setting(self) -> str:
        """The setting that names the database."""
        return self._of("OM_PG_DB")

    @property
    def login_settings(self) -> str:
        """The settings that name the user and its password."""
        apart = "OM_PG_APP_USER and OM_PG_APP_PASSWORD"
        if self.is_named_apart:
            return apart
        return self._of(f"OM_PG_USER and OM_PG_PASSWORD (or {apart}, where that is who logs in)")

    def _of(self, names: str) -> str:
        return "OM_PG_DSN (or OM_PG_DIRECT_DSN)" if self.by_string else names


_FULL = "too many (?:clients|connections)|connection slots|no more connections|connection limit"
# The first match counts: the answer of a server says more than the silence of another address.
_REMEDIES = (
    (
        _FULL,
        "It has as many connections as it takes: lower OM_PG_POOL_MAX, end sessions that idle, or raise its"
        " max_connections",
    ),
    (
        "database .* does not exist|no such database",
        "Create the database (CREATE DATABASE {database}), or correct {way.database_setting}",
    ),
    (
        "not currently accepting connections|permission denied for database",
        "Nobody, or not this user, is let into the database: have its owner run GRANT CONNECT (ALTER DATABASE …"
        " ALLOW_CONNECTIONS true), or correct {way.database_setting}",
    ),
    (
        "certificate|no encryption|SSL (?:required|connection is required)|requires (?:SSL|TLS|encryption)",
        "It is about encryption: a server that demands TLS wants OM_PG_SSL=require, one whose certificate is to be"
        " proved OM_PG_SSL=verify-full with the authority's in PGSSLROOTCERT; or a line in its pg_hba.conf is missing",
    ),
    ("does not support SSL", "It has no TLS: set OM_PG_SSL=disable if the way to it is safe, or give it a certificate"),
    (
        "pg_hba",
        "Its pg_hba.conf lets this user not in from here: have its administrator add a line, or correct"
        " {way.login_settings} and {way.database_setting}",
    ),
    (
        "authentication failed|no password supplied|password|role .* (?:does not exist|is not permitted)|no such user"
        "|SASL|SCRAM",
        "Check {way.login_settings}",
    ),
    (
        "starting up|shutting down|recovery mode|not yet accepting",
        "It is not ready yet: wait until it is, and try again",
    ),
    (
        "could not translate host name|failed to resolve|Name or service not known|nodename nor servname",
        "No machine is known by that name: correct {way.server_settings}",
    ),
    (
        "No such file or directory",
        "There is no PostgreSQL with its socket in that folder: start it, or correct {way.server_settings}",
    ),
    (
        "Connection refused",
        "Nothing listens there: start PostgreSQL, or correct {way.server_settings}",
    ),
    (
        "time(?:d )?out|No route to host|Network is unreachable",
        "Nothing answers there: correct {way.server_settings}, open the firewall between, or give it longer by"
        " OM_PG_CONNECT_TIMEOUT_S",
    ),
)
_WRONG = "the connection string (OM_PG_DSN, OM_PG_DIRECT_DSN) is wrong"
_ANY = "Check {way.server_settings}, {way.database_setting}, {way.login_settings}, and OM_PG_SSL"


def unreachable(conninfo: Mapping[str, str], error: Exception) -> DatabaseUnavailable | ConfigurationError:
    """Return the error for a failed connection: where to, why, and what to do."""
    try:
        refuse_unreadable(conninfo)
    except ConfigurationError as refused:
        return refused
    way, lines = _way(conninfo), str(error).splitlines() or [""]
    matching = ((line, remedy) for pattern, remedy in _REMEDIES for line in lines if _says(line, pattern))
    line, remedy = next(matching, (lines[0], _ANY))
    reason = _reason(line)
    if way.is_embedded:
        return DatabaseUnavailable(f"cannot connect to the PostgreSQL in {way.host}: {reason}")
    quoted = '"' + way.database.replace('"', '""') + '"'
    return DatabaseUnavailable(
        f"cannot connect to PostgreSQL at {way}: {reason}. {remedy.format(way=way, database=quoted)}"
    )


def refuse_unreadable(conninfo: Mapping[str, str]) -> None:
    """Raise ConfigurationError, which never quotes it, for a connection string that libpq misreads or cannot read."""
    try:
        parts = conninfo_to_dict(**conninfo)
    except psycopg.ProgrammingError as error:
        raise unreadable(conninfo, error) from None
    uri = _URI.match(conninfo.get("conninfo", ""))
    if (uri and "@" in uri["address"]) or not _PORTS.fullmatch(str(parts.get("port") or "")):
        raise _split()


def unreadable(conninfo: Mapping[str, str], error: psycopg.ProgrammingError) -> ConfigurationError:
    """Return the error for a connection string that cannot be read; raise it `from None`."""
    uri = _URI.match(conninfo.get("conninfo", ""))
    if uri and "@" in uri["address"] + uri["options"]:
        return _split()
    # Other messages quote the string itself, and a password with it.
    keyword = _UNKNOWN_KEYWORD.match(str(error))
    said = f'libpq knows no "{keyword[1]}"' if keyword else "libpq cannot read it"
    return ConfigurationError(f"{_WRONG}: {said}")


def _split() -> ConfigurationError:
    """Return the error for a string in which libpq takes part of the password for host, port or database."""
    return ConfigurationError(
        f"{_WRONG}: it cannot be split into user, password, host, port and database. In the user and the password"
        " @ : / ? # and % must be percent-encoded (%40 %3A %2F %3F %23 %25), and the port is a number"
    )


def is_full(error: Exception) -> bool:
    """Return whether a server answered that it accepts no more connections."""
    return any(_says(line, _FULL) for line in str(error).splitlines())


def _says(line: str, pattern: str) -> bool:
    """Return whether a line matches outside the names that it quotes: a host may be called certificate.example."""
    return re.search(pattern, _NAME.sub('""', _TRIED.sub("", line)), re.IGNORECASE) is not None


def _reason(line: str) -> str:
    """Return a line without the address that was tried."""
    return _SEVERITY.sub("", _TRIED.sub("", line).strip()).strip(" .")[:_SHOWN_CHARS]


def _way(conninfo: Mapping[str, str]) -> _Way:
    """Return where libpq would connect to; it fills gaps from PG… variables and the process's user."""
    parts = {name: str(value) for name, value in _libpqs_own().items() if value is not None}
    try:
        given = conninfo_to_dict(**{key: value for key, value in conninfo.items() if value != ""})
    except psycopg.ProgrammingError:
        given = {}
    parts.update({name: str(value) for name, value in given.items() if value is not None})
    host, user = parts.get("host") or parts.get("hostaddr") or "localhost", parts.get("user", "")
    return _Way(
        host,
        parts.get("port", "5432"),
        parts.get("dbname") or user,
        user,
        by_string=bool(conninfo.get("conninfo")),
        is_embedded=isinstance(conninfo.get("conninfo"), OwnServer),
        is_named_apart=bool(conninfo.get("conninfo")) and "user" in conninfo,
    )


def _libpqs_own() -> dict[str, str | None]:
    shown = ("host", "hostaddr", "port", "dbname", "user")
    return {
        option.keyword.decode(): None if option.val is None else option.val.decode(errors="replace")
        for option in Conninfo.get_defaults()
        if option.keyword.decode() in shown
    }
