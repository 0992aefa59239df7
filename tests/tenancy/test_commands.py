"""Every command of the CLI that works on memories, run for tenant B with A's names."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from psycopg.conninfo import make_conninfo

from openmemory.app import Logins
from openmemory.cli.main import cli
from tests.cli.homes import Home
from tests.tenancy.conftest import Stage, an_attacker
from tests.tenancy.victims import Marks, a_ghost_of, rows_of

Arguments = list[list[str]]


def _add(theirs: Marks) -> Arguments:
    text = f"{theirs.word} keeps the spare key under stone number 0"
    own = ["add", text, "--user", theirs.user, "--session", theirs.session, "--speaker", theirs.speaker]
    return [own, ["add", "ours", "--id", str(theirs.ids[0])]]


def _query(theirs: Marks) -> Arguments:
    plain = ["query", f"{theirs.word} spare key"]
    return [
        plain,
        [*plain, "--user", theirs.user],
        [*plain, "--tag", theirs.tag],
        [*plain, "--session", theirs.session],
    ]


def _list(theirs: Marks) -> Arguments:
    narrowings: tuple[list[str], ...] = (
        [],
        ["--user", theirs.user],
        ["--project", theirs.project],
        ["--cursor", str(theirs.cursor)],
    )
    return [["list", *narrow] for narrow in narrowings]


def _delete(theirs: Marks) -> Arguments:
    return [["delete", "--yes", str(one)] for one in theirs.ids] + [["delete", "--yes", "--user", theirs.user]]


COMMANDS: dict[str, Callable[[Marks], Arguments]] = {
    "add": _add,
    "query": _query,
    "list": _list,
    "get": lambda theirs: [["get", str(one)] for one in theirs.ids],
    "delete": _delete,
    "stats": lambda _: [["stats"]],
}
WITHOUT_MEMORIES = {
    "serve": "its calls are those of test_routes.py",
    "migrate": "works on the tables, as their owner",
    "backup": "dumps the whole database, as the tables' owner: tests/cli/test_backup.py",
    "restore": "replaces the whole database, as the tables' owner: tests/cli/test_backup.py",
    "import": "writes one tenant's rows behind its walls: tests/cli/test_importing.py",
    "reembed": "moves every tenant's vectors and prints counts only, as the tables' owner: tests/reembedding",
    "settings": "opens no database",
    "demo": "works on two tenants of its own, and shows their walls: tests/cli/test_demo.py",
}


def test_every_command_is_run_as_another_tenant() -> None:
    group = typer.main.get_command(cli)
    there = set(getattr(group, "commands"))  # noqa: B009 -- typer's own copy of click's Group has no type here

    missing = there - COMMANDS.keys() - WITHOUT_MEMORIES.keys()
    assert not missing, (
        f"no tenancy case for {sorted(missing)}: add to COMMANDS in tests/tenancy/test_commands.py what can be asked of"
        " it for tenant B with A's ids, users and sessions, or to WITHOUT_MEMORIES why it shows none"
    )
    assert not (COMMANDS.keys() | WITHOUT_MEMORIES.keys()) - there, "these commands are gone"


@pytest.mark.parametrize("name", sorted(COMMANDS))
async def test_a_command_shows_another_tenant_nothing_and_changes_nothing(
    name: str, stage: Stage, logins: Logins, victim: Marks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ghost, before = a_ghost_of(victim), rows_of(logins.owner, victim.tenant)
    ways = {"OM_PG_DSN": make_conninfo("", **logins.owner), "OM_EMBEDDINGS": "hash", "OM_VEC_DIM": "256"}

    for tried, imagined in zip(COMMANDS[name](victim), COMMANDS[name](ghost), strict=True):
        attacker, stranger = await an_attacker(stage.memories), await an_attacker(stage.memories)
        home = Home(tmp_path / "unused", ways)
        ran = await asyncio.to_thread(home.with_settings(OM_TENANT=attacker.tenant).run, *tried, "--json")
        nothing = await asyncio.to_thread(home.with_settings(OM_TENANT=stranger.tenant).run, *imagined, "--json")

        assert victim.secret not in ran.out + ran.err
        assert ran.status == nothing.status
        assert _timeless(victim.hidden(ran.out, attacker.tenant)) == _timeless(
            ghost.hidden(nothing.out, stranger.tenant)
        )
        assert victim.hidden(ran.err, attacker.tenant) == ghost.hidden(nothing.err, stranger.tenant)
    assert rows_of(logins.owner, victim.tenant) == before


def _timeless(document: str) -> str:
    """Return the lines of a JSON document without those of instants and times, which pass between two runs."""
    return "\n".join(line for line in document.splitlines() if not any(word in line for word in ('_at"', '_ms"')))
