"""Rights that lack, met for real: only those are asked for, and with them the upgrade goes through."""

import gzip
from pathlib import Path

import pytest

from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.way_back import down
from tests.cli.homes import Home
from tests.postgres.databases import a_name
from tests.upgrade.test_script import psql
from tests.upgrade.troubleshooting.machines import Old


def test_an_owner_without_rights_upgrades_after_what_the_message_asks_for(poor: Old, shared: Path) -> None:
    said = poor.refused()
    asked = said.partition(" in this database, for: ")[2].partition(". Not SUPERUSER")[0].split("; ")
    assert [statement.split('"')[0] for statement in asked] == [
        "GRANT CREATE ON DATABASE ",
        "GRANT CREATE ON SCHEMA ",
        "CREATE EXTENSION vector",
        "CREATE ROLE ",
        "GRANT ",
    ]
    poor.run(*asked)
    poor.upgrade()
    poor.assert_whole(shared)


def test_a_dry_run_tells_the_rights_that_lack_for_certain(poor: Old, old: Old, tmp_path: Path) -> None:
    login = poor.owner.logins.owner["conninfo"].partition("user=")[2].split()[0]
    settings = {"OM_PG_DSN": poor.owner.logins.owner["conninfo"], "OM_PG_APP_ROLE": poor.owner.names.app_role}
    poor.run(f"REVOKE CREATE ON DATABASE {poor.database} FROM {login}")

    ran, printed = (Home(tmp_path, settings).run("migrate", *rest) for rest in (("--dry-run",), ("sql", "1")))

    said = " ".join(ran.err.split())
    assert (ran.status, printed.status, printed.out, printed.err) == (1, 1, "", ran.err)
    assert f'for: GRANT CREATE ON DATABASE "{poor.database}" TO "{login}"; CREATE EXTENSION vector. Not' in said
    assert said.endswith("Nothing was changed")
    old.run(f"GRANT CREATE ON DATABASE {poor.database} TO {login}", "CREATE EXTENSION vector")
    assert Home(tmp_path, settings).run("migrate", "--dry-run").status == 0


@pytest.mark.parametrize("trusted", [False, True])
def test_a_dry_run_tells_whether_an_owner_may_create_the_extension(
    poor: Old, old: Old, tmp_path: Path, trusted: bool
) -> None:
    login = poor.owner.logins.owner["conninfo"].partition("user=")[2].split()[0]
    settings = {"OM_PG_DSN": poor.owner.logins.owner["conninfo"], "OM_PG_APP_ROLE": poor.owner.names.app_role}
    old.run(f"GRANT CREATE ON DATABASE {poor.database} TO {login}")
    control, as_it_was = poor.machine.control, poor.machine.control.read_text()
    others = [line for line in as_it_was.splitlines() if not line.startswith("trusted")]
    control.write_text("\n".join([*others, f"trusted = {str(trusted).lower()}", ""]))
    try:
        ran = Home(tmp_path, settings).run("migrate", "--dry-run")
    finally:
        control.write_text(as_it_was)

    assert ran.status == (0 if trusted else 1)
    assert ("in this database, for: CREATE EXTENSION vector. Not SUPERUSER" in " ".join(ran.err.split())) != trusted


@pytest.mark.parametrize("kind", ["NOSUPERUSER", "SUPERUSER"])
def test_a_login_that_does_not_own_the_old_tables_is_told_what_makes_them_its_own(
    ready: Old, tmp_path: Path, kind: str
) -> None:
    login, other = ready.owner.logins.owner["conninfo"].partition("user=")[2].split()[0], a_name("other")
    tables = [f"openmemory_{name}" for name in ("memories", "vectors", "waypoints", "users")]
    ready.run(f"CREATE ROLE {other} {kind}", *(f"ALTER TABLE {table} OWNER TO {other}" for table in tables))
    settings = {"OM_PG_DSN": ready.owner.logins.owner["conninfo"], "OM_PG_APP_ROLE": ready.owner.names.app_role}

    ran = Home(tmp_path, settings).run("migrate", "--dry-run")

    said = " ".join(ran.err.split())
    assert ran.status == 1
    assert said.endswith("Nothing was changed")
    asked = said.partition("for: ")[2].partition(". Not SUPERUSER")[0].split("; ")
    owned = {f'ALTER TABLE "public"."{table}" OWNER TO "{login}"' for table in tables}
    assert set(asked) == (owned if kind == "SUPERUSER" else {f'GRANT "{other}" TO "{login}"'})
    ready.run(*asked)
    assert Home(tmp_path, settings).run("migrate", "--dry-run").status == 0


@pytest.mark.parametrize("lacking", ["DATABASE", "SCHEMA"])
def test_of_the_rights_only_the_one_that_lacks_is_asked_for(ready: Old, shared: Path, lacking: str) -> None:
    name = "public" if lacking == "SCHEMA" else ready.database
    login = ready.owner.logins.owner["conninfo"].partition("user=")[2].split()[0]
    ready.run(f"REVOKE CREATE ON {lacking} {name} FROM {login}")
    said = ready.refused()
    wanted = f'GRANT CREATE ON {lacking} "{name}" TO "{login}"'
    assert f"for: {wanted}. Not SUPERUSER" in said
    ready.run(wanted)
    ready.upgrade()
    ready.assert_whole(shared)


def test_a_file_for_psql_takes_a_role_that_the_owner_may_act_as_and_may_not_give(ready: Old) -> None:
    login, role = ready.owner.logins.owner["conninfo"].partition("user=")[2].split()[0], ready.owner.names.app_role
    ready.run(f"REVOKE {role} FROM {login}", f"GRANT {role} TO {login}")
    first = script(ready.owner.logins.owner, ready.owner.names, Plan(1536), STEPS[0])
    done = psql(ready.owner, first)
    assert done.returncode == 0, done.stderr


def test_an_owner_who_is_no_superuser_goes_back_embeds_anew_imports_and_drops_the_old_bytes(
    ready: Old, shared: Path, tmp_path: Path
) -> None:
    ready.upgrade()
    down(ready.owner.logins.owner, ready.owner.names)
    ready.upgrade()
    home = Home(
        tmp_path, {"OM_PG_DSN": ready.owner.logins.owner["conninfo"], "OM_PG_APP_ROLE": ready.owner.names.app_role}
    )
    ran = home.run("reembed", "--yes", "--json")
    assert ran.status == 0, ran.err
    assert home.run("query", "who visited Kyoto?", "--tenant", "default", "--json").json["matches"]
    file = tmp_path / "openmemory.sqlite"
    file.write_bytes(gzip.decompress((shared / "legacy" / "legacy-pre.sqlite.gz").read_bytes()))
    ran = home.run("import", "sqlite", str(file), "--tenant", "acme", "--yes", "--json")
    assert ran.status == 0, ran.err
    assert ran.json["added"]["memories"] == 428
    assert home.run("migrate", "--drop-bytea", "--yes").status == 0
