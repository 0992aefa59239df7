"""All commands, and how their errors are reported."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from importlib.metadata import version
from shutil import get_terminal_size
from types import FrameType
from typing import Annotated, ParamSpec

import structlog
import typer

from openmemory.cli import INTERRUPTED
from openmemory.cli.adding import add
from openmemory.cli.asking import query
from openmemory.cli.backing import backup
from openmemory.cli.demo.command import demo
from openmemory.cli.importing import import_sqlite, imports
from openmemory.cli.migrate.command import migrate
from openmemory.cli.migrate.script import sql
from openmemory.cli.migrate.status import status
from openmemory.cli.options import ConfigOption, Given
from openmemory.cli.printing import complain
from openmemory.cli.reading import delete, get, listing
from openmemory.cli.reembed.command import reembed
from openmemory.cli.restoring import restore
from openmemory.cli.serving import serve
from openmemory.cli.settings import settings
from openmemory.cli.stats import stats
from openmemory.errors import MemoryNotFound, OpenMemoryError

P = ParamSpec("P")

_BROKEN_PIPE = 141
_NARROW = 70  # columns

cli = typer.Typer(
    name="openmemory",
    help="Long-term memory for agents: many tenants on one PostgreSQL, isolated by the database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # only text streams have it
    _interrupt_on("SIGTERM", "SIGHUP")
    # Standard output is for results; `serve` chooses the log's form and level itself.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if (columns := get_terminal_size().columns) < _NARROW:
        _fit_help(columns)
    cli()


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Return `command` with its errors as one line on standard error, and exit status 1; 130 when stopped by Ctrl-C."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (typer.BadParameter, typer.Exit):
            raise
        except OpenMemoryError as error:
            complain(f"{error.title}: {error.detail}" if isinstance(error, MemoryNotFound) else error.detail)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            for standing in error.args:
                complain(f"stopped: {standing}")
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            _silence()
            raise typer.Exit(_BROKEN_PIPE) from error
        except Exception as error:
            if os.environ.get("OM_LOG_LEVEL", "").lower() == "debug":
                raise
            complain(f"{type(error).__name__}: {error} (unexpected; OM_LOG_LEVEL=debug shows where)")
            raise typer.Exit(1) from error

    return run


@cli.callback()
def shared(
    context: typer.Context,
    config: ConfigOption = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=lambda asked: _show_version(asked))
    ] = False,
) -> None:
    """Take what stands before the name of a command."""
    context.obj = Given(config)


def _register() -> None:
    commands: dict[str, Callable[..., None]] = {
        "serve": serve,
        "demo": demo,
        "add": add,
        "query": query,
        "list": listing,
        "get": get,
        "delete": delete,
        "stats": stats,
        "backup": backup,
        "restore": restore,
        "reembed": reembed,
        "settings": settings,
    }
    for name, command in commands.items():
        cli.command(name)(reported(command))
    migrations = typer.Typer(invoke_without_command=True)
    migrations.callback()(reported(migrate))
    migrations.command("status")(reported(status))
    migrations.command("sql")(reported(sql))
    cli.add_typer(migrations, name="migrate")
    stores = typer.Typer(no_args_is_help=True)
    stores.callback()(imports)
    stores.command("sqlite")(reported(import_sqlite))
    cli.add_typer(stores, name="import")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"openmemory {version('openmemory-postgres')}")
        raise typer.Exit


def _fit_help(columns: int) -> None:
    """Print help as plain text of this width: tables would cut the names of options."""
    for group in (cli, *(one.typer_instance for one in cli.registered_groups if one.typer_instance)):
        group.rich_markup_mode = None
        group.info.context_settings = {"terminal_width": columns - 1}


def _interrupt_on(*names: str) -> None:
    """Treat these signals like Ctrl-C, so that the embedded PostgreSQL is stopped; what nohup ignores stays ignored."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # What a shell script starts with & ignores SIGINT: to raise it would end nothing.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    for name in names:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)


def _silence() -> None:
    """Discard what is still to be written: the reader has gone, but the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_register()
