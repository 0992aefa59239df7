"""`backup` and `restore` by an owner who is no superuser, on a server where not all is the owner's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.homes import Home
from tests.cli.old_owners import words
from tests.postgres.outside import Outside, Site, a_site, an_outside_server
from tests.upgrade.old_databases import program

NEW = program("pg_dump")
PASSWORD = "its-password"  # noqa: S105 -- of a server that lives as long as the test


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """Yield an older PostgreSQL with passwords."""
    with an_outside_server() as server:
        yield server


def test_passwords_are_in_no_argument(outside: Outside, shared_home: Home, tmp_path: Path) -> None:
    site = a_site(outside, "CREATEROLE")
    spy = tmp_path / "spy"
    spy.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (spy / name).write_text(f'#!/bin/sh\necho "$@" >> {spy}/said\nexec {program(name)} "$@"\n')
        (spy / name).chmod(0o755)
    site.run("CREATE TABLE openmemory_memories (id int)", f"ALTER TABLE openmemory_memories OWNER TO {site.owner}")

    there = site.home(shared_home).with_settings(OM_PG_DUMP=str(spy / "pg_dump"))
    ran = there.run("backup", str(tmp_path / "b.dump"))

    assert ran.status == 0, ran.err
    assert "--snapshot=" in (spy / "said").read_text()
    assert PASSWORD not in (spy / "said").read_text() + ran.out + ran.err


def test_an_owner_under_row_level_security_is_told_how_and_can_restore(
    outside: Outside, shared_home: Home, tmp_path: Path
) -> None:
    site = a_site(outside, "CREATEROLE")
    owner = site.home(shared_home).with_settings(OM_EMBEDDINGS="hash", OM_VEC_DIM="64", OM_PG_DUMP=NEW)
    assert owner.run("migrate").status == 0
    assert owner.run("add", "one").status == 0
    role = a_backup_role(site)

    refused = owner.run("backup", str(tmp_path / "b.dump"))
    made = owner.with_settings(OM_PG_DIRECT_DSN=role).run("backup", str(tmp_path / "b.dump"), "--json")
    assert owner.run("add", "two").status == 0
    asked = owner.run("restore", str(tmp_path / "b.dump"), stdin="n\n")
    back = owner.run("restore", str(tmp_path / "b.dump"), "--yes", "--json")

    assert refused.status == 1
    assert "BYPASSRLS" in refused.err
    assert "openmemory_memories rows that this login may not count" in words(asked)
    assert made.status == 0, made.err
    assert back.status == 0, back.err
    assert back.json["rows"] == made.json["rows"]
    assert [item["content"] for item in owner.run("list", "--json").json["items"]] == ["one"]


def test_what_is_not_the_owners_is_named_and_its_own_tables_come_back_without_it(
    outside: Outside, shared_home: Home, tmp_path: Path
) -> None:
    site = a_site(outside, "CREATEROLE")
    owner = site.home(shared_home).with_settings(OM_EMBEDDINGS="hash", OM_VEC_DIM="64", OM_PG_DUMP=NEW)
    assert owner.run("migrate").status == 0
    assert owner.run("add", "one").status == 0
    site.run(
        f"GRANT REFERENCES ON openmemory_tenants TO {site.login}",
        "CREATE TABLE orders (id int, tenant text REFERENCES openmemory_tenants)",
        f"ALTER TABLE orders OWNER TO {site.login}",
        "CREATE INDEX orders_of ON orders (tenant)",
        "INSERT INTO orders VALUES (1, NULL)",
        f"CREATE PUBLICATION all_{site.mark} FOR ALL TABLES",
        "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        f"CREATE EVENT TRIGGER seen_{site.mark} ON ddl_command_end EXECUTE FUNCTION watch()",
    )

    made = owner.with_settings(OM_PG_DIRECT_DSN=a_backup_role(site)).run("backup", str(tmp_path / "b.dump"))
    refused = owner.run("restore", str(tmp_path / "b.dump"), "--yes")
    site.run("ALTER TABLE orders DROP CONSTRAINT orders_tenant_fkey")
    assert owner.run("add", "two").status == 0
    back = owner.run("restore", str(tmp_path / "b.dump"), "--tables", "--yes", "--json")

    assert made.status == 0, made.err
    for foreign in (
        f"tables and views of {site.login}: orders",
        f"publications of all tables: all_{site.mark}",
        f"event triggers: seen_{site.mark}",
    ):
        assert foreign in words(made)
    assert refused.status == 1
    assert "openmemory restore FILE --tables" in words(refused)
    assert back.status == 0, back.err
    assert "public.orders" not in back.json["rows"]
    assert back.json["next"] is None
    assert site.value("SELECT count(*) FROM orders") == 1
    assert [item["content"] for item in owner.run("list", "--json").json["items"]] == ["one"]


def a_backup_role(site: Site) -> str:
    name = f"backup_{site.mark}"
    site.run(f"CREATE ROLE {name} LOGIN BYPASSRLS PASSWORD '{PASSWORD}'", f"GRANT pg_read_all_data TO {name}")
    return f"host={site.server.folder} dbname={site.database} user={name} password={PASSWORD}"
