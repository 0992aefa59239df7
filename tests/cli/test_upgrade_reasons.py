"""What an upgrade sets aside or notes is readable: whole reasons, how many rows, and nothing that steers a terminal."""

from pathlib import Path

from tests.cli.homes import Home
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import A, odd, remember

__all__ = ["odd"]


def test_reasons_are_whole_and_names_steer_no_terminal(odd: Place, tmp_path: Path) -> None:
    with odd.owner() as connection:
        remember(connection, A, user_id="esc\x1b[31mred\x1b]0;title\x07" + "x" * 500)
        connection.execute("INSERT INTO openmemory_users (user_id) SELECT user_id FROM openmemory_memories")
        database = connection.info.dbname
    owner = {f"OM_PG_{name.upper()}": str(value) for name, value in odd.logins.owner.items() if name != "dbname"}
    home = Home(tmp_path, {**owner, "OM_PG_DB": database, "OM_PG_APP_ROLE": odd.names.app_role})

    told = [home.run("migrate", *args) for args in (("--dry-run",), ("--yes",), ("status",))]

    for ran in told:
        assert ran.status == 0, ran.err
        said = " ".join(ran.out.split())
        assert "has control characters; kept with a digest of it 1 row" in said
        assert "esc\ufffd[31mred\ufffd]0;title\ufffd" in said
        assert "x" * 100 not in said
        assert not {"\x1b", "\x07"} & set(ran.out)
