"""What the command says of itself, and of wrong usage; no database."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmemory.cli import INTERRUPTED
from openmemory.cli.main import cli, reported
from openmemory.errors import ConfigurationError
from tests.cli.homes import COMMAND, Home, interrupt

COMMANDS = ("serve", "migrate", "add", "query", "list", "get", "delete", "stats", "settings", "demo")


@pytest.fixture
def nowhere(tmp_path: Path) -> Home:
    """Return a data folder that no test here makes."""
    return Home(tmp_path / "none")


def test_it_says_its_version(nowhere: Home) -> None:
    ran = nowhere.run("--version")

    assert ran.status == 0
    assert ran.out.startswith("openmemory ")


def test_help_names_every_command(nowhere: Home) -> None:
    ran = nowhere.run("--help")

    assert ran.status == 0
    assert all(f" {name} " in ran.out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_fits_a_narrow_terminal(nowhere: Home, command: str) -> None:
    ran = nowhere.with_settings(COLUMNS="60").run(command, "--help")

    assert ran.status == 0
    assert max(map(len, ran.out.splitlines())) <= 60


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["serve", "--port", "0"],
        ["query"],
        ["query", ""],
        ["query", "  "],
        ["query", "lamp", "--sector", "sceptical"],
        ["list", "--sector", "sceptical"],
        ["get", "not-an-id"],
        ["delete"],
        ["list", "--limit", "0"],
        ["list", "--tenant", ""],
        ["list", "--tenant", "a\nb"],
        ["add", "text", "--file", "turns.jsonl"],
        ["add", "text", "--partial"],
        ["add", "text", "--metadata", "[1]"],
        ["add", "text", "--metadata", "{"],
        ["add", "text", "--occurred-at", "yesterday"],
        ["add", "text", "--sector", "sceptical"],
        ["migrate", "nonsense"],
    ],
)
def test_wrong_usage_is_status_2(nowhere: Home, arguments: list[str]) -> None:
    ran = nowhere.run(*arguments)

    assert ran.status == 2
    assert ran.out == ""
    assert "Value error" not in ran.err
    assert not nowhere.folder.exists()


def test_a_wrong_sector_is_told_those_there_are(nowhere: Home) -> None:
    said = nowhere.with_settings(COLUMNS="200").run("add", "text", "--sector", "sceptical").err

    assert "'sceptical' is none of episodic, semantic, procedural, emotional, reflective" in said


def test_nothing_to_remember_is_wrong_usage(nowhere: Home) -> None:
    assert nowhere.run("add", "-", stdin="\n").status == 2


def test_a_bad_setting_is_one_line_and_status_1(nowhere: Home) -> None:
    ran = nowhere.with_settings(OM_PORT="many").run("list")

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("openmemory: OM_PORT='many' (environment) must be")
    assert ran.err.count("\n") == 1


def test_an_unknown_setting_is_a_warning(nowhere: Home) -> None:
    ran = nowhere.with_settings(OM_TENNANT="acme").run("settings", "--json")

    assert ran.status == 0
    assert "OM_TENNANT" in ran.err
    assert len(ran.json["warnings"]) == 1


def test_the_loopback_rule_holds_for_the_option_too(nowhere: Home) -> None:
    ran = nowhere.run("serve", "--host", "0.0.0.0")  # noqa: S104 -- refused

    assert ran.status == 1
    assert "OM_API_KEY" in ran.err
    assert not nowhere.folder.exists()


def test_only_the_default_tenant_where_there_is_one(nowhere: Home) -> None:
    ran = nowhere.with_settings(OM_MULTI_TENANT="false").run("list", "--tenant", "acme")

    assert ran.status == 1
    assert "OM_MULTI_TENANT=false" in ran.err


@pytest.mark.parametrize("before", [True, False])
def test_the_file_of_settings_is_named_before_or_after_the_command(nowhere: Home, tmp_path: Path, before: bool) -> None:
    file = tmp_path / "my.env"
    file.write_text("OM_PORT=9000\nOM_API_KEY=a-key-of-twenty-characters\n")
    option = ["--config", str(file)]

    ran = nowhere.run(*(option if before else []), "settings", "--json", *([] if before else option))

    rows = {row["name"]: row for row in ran.json["settings"]}
    assert rows["OM_PORT"] == {"name": "OM_PORT", "value": "9000", "source": "file"}
    assert rows["OM_API_KEY"]["value"] == "***"


@pytest.mark.parametrize("columns", [40, 60])
def test_settings_fit_a_narrow_terminal_and_hide_secrets(nowhere: Home, columns: int) -> None:
    dsn = "postgresql://owner:correct-horse@db.example/memories"
    ran = nowhere.with_settings(COLUMNS=str(columns), OM_PG_DSN=dsn, OM_DATA_DIR="").run("settings")

    assert ran.status == 0
    assert "db.example" in ran.out
    assert "8080" in ran.out
    assert "correct-horse" not in ran.out.replace("\n", "").replace(" ", "")
    assert max(map(len, ran.out.splitlines())) <= columns


@pytest.mark.parametrize("command", [["query"], ["reembed"], ["migrate"], ["add"], ["import", "sqlite"]], ids=" ".join)
def test_help_names_every_option_in_a_narrow_terminal(command: list[str]) -> None:
    narrow = {**os.environ, "COLUMNS": "40"}
    done = subprocess.run([*COMMAND, *command, "--help"], capture_output=True, text=True, check=True, env=narrow)

    assert max(map(len, done.stdout.splitlines())) <= 40
    assert "…" not in done.stdout
    assert "--config" in done.stdout


def test_a_reader_that_goes_ends_a_command_as_a_broken_pipe_does() -> None:
    with subprocess.Popen([*COMMAND, "settings"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        said = command.stderr.read()

    assert (command.returncode, said) == (141, b"")


def test_ctrl_c_while_the_command_is_loaded_ends_it_quietly() -> None:
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def press(event, arguments):\n"
        "    if event == 'import' and arguments[0] == 'typer':\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.addaudithook(press)\n"
        "from openmemory.cli import run; run()"
    )

    done = subprocess.run([sys.executable, "-c", program, "stats"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "")


def test_small_commands_load_no_large_modules() -> None:
    program = (
        "import sys; from openmemory.cli import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'fastapi', 'psycopg', 'uvicorn', 'openmemory.app'} & sys.modules.keys()))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, "settings", "--json"], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen([*COMMAND, "settings"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()

    assert b"Traceback" not in said


def _failing(error: BaseException) -> None:
    cli.command("fail", hidden=True)(reported(lambda: _raise(error)))


def _raise(error: BaseException) -> None:
    raise error


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the commands that a test adds."""
    monkeypatch.setattr(cli, "registered_commands", list(cli.registered_commands))


@pytest.mark.usefixtures("fail")
@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigurationError("set OM_X"), 1, "openmemory: set OM_X\n"),
        (KeyboardInterrupt(), INTERRUPTED, ""),
        (ZeroDivisionError("by 0"), 1, "openmemory: ZeroDivisionError: by 0 (unexpected; OM_LOG_LEVEL=debug shows"),
    ],
)
def test_errors_are_one_line(error: BaseException, status: int, said: str) -> None:
    _failing(error)

    result = CliRunner().invoke(cli, ["fail"], env={"OM_LOG_LEVEL": None})

    assert result.exit_code == status
    assert result.stderr.startswith(said)
    assert result.stderr.count("\n") <= 1


@pytest.mark.usefixtures("fail")
def test_an_unexpected_error_shows_where_when_debugging() -> None:
    _failing(ZeroDivisionError("by 0"))

    result = CliRunner().invoke(cli, ["fail"], env={"OM_LOG_LEVEL": "debug"})

    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.parametrize("ignored", [False, True], ids=["from a terminal", "from a script, in the background"])
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_ends_a_command_also_where_a_shell_had_it_ignore_sigint(
    kind: signal.Signals, ignored: bool
) -> None:
    waiting = (
        "import signal, sys, typer\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN if 'ignored' in sys.argv else signal.default_int_handler)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "from openmemory.cli.main import _interrupt_on, reported\n"
        "_interrupt_on('SIGTERM', 'SIGHUP')\n"
        "def wait():\n"
        "    print('waiting', flush=True)\n"
        "    sys.stdin.read()\n"
        "try:\n"
        "    reported(wait)()\n"
        "except typer.Exit as ended:\n"
        "    sys.exit(ended.exit_code)\n"
    )
    arguments = [sys.executable, "-c", waiting, *(["ignored"] if ignored else [])]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"waiting\n"
        interrupt(command, kind)
    assert command.returncode == INTERRUPTED
