"""PostgreSQL's cluster in the data folder: making it, configuring it, and what must exist in it."""

import os
import secrets
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from openmemory.errors import ConfigurationError
from openmemory.postgres.embedded.account import has_name
from openmemory.postgres.embedded.configuration import configuration
from openmemory.postgres.embedded.engine import MAJOR, Engine
from openmemory.postgres.embedded.folder import PORT, DataFolder
from openmemory.postgres.embedded.locks import write_private
from openmemory.postgres.unreachable import OwnServer

DATABASE = "openmemory"
OWNER = "openmemory_owner"
SERVER = "openmemory_server"

_PASSWORDS = "openmemory.passwords"
# PostgreSQL writes it in one piece, of this size in every version; where it is cut, it only panics.
_CONTROL, _CONTROL_BYTES = "global/pg_control", 8192
_SETTINGS = """\
# Yours to edit: what stands below the include wins over openmemory.conf, which is written anew at each start.
include 'openmemory.conf'
"""


@dataclass(frozen=True, slots=True)
class Passwords:
    """The passwords of the two roles, made at random with the cluster and kept inside it."""

    owner: str
    server: str


def exists(folder: DataFolder) -> bool:
    """Return whether the cluster is there; raise ConfigurationError if it is there and cannot be used."""
    if not folder.cluster.exists():
        return False
    try:
        version = (folder.cluster / "PG_VERSION").read_text().strip()
        read_passwords(folder)
        size_bytes = (folder.cluster / _CONTROL).stat().st_size
    except FileNotFoundError as error:
        raise _not_whole(folder, f"{error.filename} is missing") from error
    if size_bytes < _CONTROL_BYTES:
        raise _not_whole(folder, f"{folder.cluster / _CONTROL} has {size_bytes} of {_CONTROL_BYTES} bytes")
    if version != MAJOR:
        raise ConfigurationError(
            f"the data in {folder.cluster} is of PostgreSQL {version}, and this OpenMemory brings {MAJOR}. "
            "Export it with the version of OpenMemory that made it and import it into a new OM_DATA_DIR."
        )
    status = folder.cluster.stat()
    if status.st_uid != folder.account.uid or stat.S_IMODE(status.st_mode) & 0o027:
        raise ConfigurationError(
            f"{folder.cluster} must belong to {folder.account.name} and be closed to others, or PostgreSQL does not "
            f"start. Say chown -R {folder.account.name} {folder.cluster} and chmod 700 {folder.cluster}"
        )
    return True


def _not_whole(folder: DataFolder, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the database in {folder.cluster} is not whole: {reason}. "
        "Restore it from your backup, or set OM_DATA_DIR to a new folder."
    )


def create(folder: DataFolder, engine: Engine, keep_open: int) -> None:
    """Make the cluster beside its place and move it there, so that one killed half-way leaves none behind.

    The locale is the built-in C.UTF-8: another system's libc, or a newer one, cannot change the order of an index.
    """
    if not has_name(folder.account.uid):
        raise ConfigurationError(
            f"initdb needs a name for user {folder.account.uid}, which this system lacks. "
            "Add it to /etc/passwd, run this as a user that has one, or set OM_PG_DSN to a PostgreSQL of your own."
        )
    partial = folder.path / "postgres.partial"
    if partial.exists():
        shutil.rmtree(partial)
    passwords = folder.path / _PASSWORDS
    write_private(passwords, f"{secrets.token_urlsafe(32)}\n{secrets.token_urlsafe(32)}\n", folder.account)
    options = [f"--pgdata={partial}", f"--username={OWNER}", f"--pwfile={passwords}", "--auth=scram-sha-256"]
    options += ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8"]
    options += ["--data-checksums", "--no-instructions"]
    if sys.platform == "linux":
        options.append("--sync-method=syncfs")  # as safe as one fsync a file, and 1.6 s faster
    done = folder.account.run([str(engine.initdb), *options], keep_open=(keep_open,))
    if done.returncode != 0:
        last = " ".join(done.stdout.split("\n")[-6:]).strip()
        raise ConfigurationError(
            f"PostgreSQL could not make a database in {folder.path}: {last}. "
            "Free some space if the disk is full, or set OM_DATA_DIR to another folder."
        )
    passwords.rename(partial / _PASSWORDS)
    write_private(partial / "postgresql.conf", _SETTINGS, folder.account)
    partial.rename(folder.cluster)
    _sync(folder.path)


def configure(folder: DataFolder, socket_dir: Path) -> None:
    """Write `openmemory.conf` for this machine as it is now."""
    write_private(folder.cluster / "openmemory.conf", configuration(socket_dir, folder.log), folder.account)


def read_passwords(folder: DataFolder) -> Passwords:
    """Return the passwords of a cluster that exists."""
    words = (folder.cluster / _PASSWORDS).read_text().split()
    if len(words) != 2:
        raise _not_whole(folder, f"{folder.cluster / _PASSWORDS} has not the two passwords")
    return Passwords(*words)


def dsn(socket_dir: Path, user: str, password: str, database: str = DATABASE) -> str:
    """Return the connection string of a role; it leaves no room for PG… variables of the environment."""
    return OwnServer(make_conninfo("", host=str(socket_dir), port=PORT, user=user, password=password, dbname=database))


def ensure_database(socket_dir: Path, passwords: Passwords) -> None:
    """Create the database and the server's role, where they are missing; raise psycopg.Error if it cannot be done.

    The role logs no ERROR: its statements fail with messages that may quote content, and our own log has them.
    """
    owner = dsn(socket_dir, OWNER, passwords.owner, "postgres")
    with psycopg.connect(owner, autocommit=True, connect_timeout=10) as connection:
        known = connection.execute("SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database").fetchall()
        if (SERVER,) not in known:
            verifier = connection.pgconn.encrypt_password(passwords.server.encode(), SERVER.encode(), b"scram-sha-256")
            create_role = sql.SQL(
                "CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD {}"
            )
            with connection.transaction():
                connection.execute(create_role.format(sql.Identifier(SERVER), sql.Literal(verifier.decode())))
                connection.execute(sql.SQL("ALTER ROLE {} SET log_min_messages = log").format(sql.Identifier(SERVER)))
        if (DATABASE,) not in known:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _sync(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
