"""Databases in another encoding than UTF8, and environments that ask for another: texts stay what they say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from openmemory.postgres.direct import connected
from openmemory.postgres.statements import Names
from tests.cli.homes import Home
from tests.cli.old_owners import NAME, words
from tests.conftest import Server
from tests.postgres.databases import Place, a_name, a_place
from tests.upgrade.old_databases import dsn, program, restore, verify
from tests.upgrade.test_script import psql

CONTENTS = "SELECT id::text, content FROM openmemory_memories ORDER BY id"


@pytest.fixture
def latin(postgres: Server, shared: Path) -> Iterator[Place]:
    """Yield the old database in LATIN1; characters that it lacks are question marks."""
    template = a_name("om_latin1")
    with connected(postgres.owner) as administrator:
        administrator.execute(
            f"CREATE DATABASE {template} ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0".encode()
        )
        try:
            with a_place(postgres, Names(dimension=1536), template) as place:
                restore(place, shared, NAME, "latin-1")
                yield place
        finally:
            administrator.execute(f"DROP DATABASE {template}".encode())


def settings(place: Place, home: Home) -> Home:
    """Return the owner's settings on a database, for a server that finds by words."""
    return home.with_settings(
        OM_PG_DSN=dsn(place),
        OM_PG_APP_ROLE=place.names.app_role,
        OM_EMBEDDINGS="none",
        OM_VEC_DIM="1536",
        OM_TENANT="default",
    )


def contents(place: Place) -> list[tuple[str, str]]:
    """Return what the memories of a database say."""
    with place.owner() as connection:
        connection.execute("SET client_encoding = 'UTF8'")
        return connection.execute(CONTENTS).fetchall()


def test_a_database_in_latin1_is_lifted_with_its_accents_and_served(
    latin: Place, shared: Path, shared_home: Home
) -> None:
    owner, before = settings(latin, shared_home), contents(latin)

    ran = owner.run("migrate", "--yes", "--embedding-model", "none")

    assert ran.status == 0, ran.err
    assert "Reykjavík" in str(before)
    assert contents(latin) == before
    assert verify(latin, shared, NAME)["identical"] == 715
    found = owner.run("query", "who visited Reykjavík?", "--json").json["matches"]
    assert "Reykjavík" in found[0]["content"]
    assert owner.run("add", "Zoë lives in Malmö").status == 0
    assert owner.run("query", "where does Zoë live?", "--json").json["matches"][0]["content"] == "Zoë lives in Malmö"


def test_the_files_for_psql_lift_a_database_in_latin1_too(latin: Place, shared: Path, shared_home: Home) -> None:
    owner, before = settings(latin, shared_home), contents(latin)
    for step in "1234":
        made = owner.run("migrate", "sql", step, "--tenant", "Zoë")
        assert made.status == 0, made.err
        done = psql(latin, made.out)
        assert done.returncode == 0, done.stderr

    ran = owner.run("migrate", "--yes")

    assert ran.status == 0, ran.err
    assert contents(latin) == before
    assert verify(latin, shared, NAME, "Zoë")["identical"] == 715


def test_a_text_that_the_databases_encoding_lacks_is_refused_as_that(latin: Place, shared_home: Home) -> None:
    owner = settings(latin, shared_home)
    assert owner.run("migrate", "--yes", "--embedding-model", "none").status == 0

    ran = owner.run("add", "重要")

    assert ran.status == 1
    assert "UntranslatableCharacter" in words(ran)


def test_a_database_in_latin1_is_backed_up_and_brought_back(latin: Place, shared_home: Home, tmp_path: Path) -> None:
    owner = settings(latin, shared_home).with_settings(OM_PG_DUMP=program("pg_dump"))
    before = contents(latin)
    assert owner.run("backup", str(tmp_path / "b.dump")).status == 0
    with latin.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET content = ''")

    ran = owner.run("restore", str(tmp_path / "b.dump"), "--yes")

    assert ran.status == 0, ran.err
    assert contents(latin) == before


def test_an_encoding_in_the_environment_changes_no_text(old: Place, shared: Path, shared_home: Home) -> None:
    before = contents(old)

    owner = settings(old, shared_home).with_settings(PGCLIENTENCODING="WIN1252")
    ran = owner.run("migrate", "--yes", "--embedding-model", "none")

    assert ran.status == 0, ran.err
    assert contents(old) == before
    assert owner.run("add", "Zoë lives in Malmö, 重要").status == 0
    assert "重要" in owner.run("query", "where does Zoë live?", "--json").json["matches"][0]["content"]
