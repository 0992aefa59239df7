"""Databases in encodings whose letters lie where others have control characters: each name stays what it says."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from psycopg import Connection

from openmemory.core.scope import name_problem, tenant_problem
from openmemory.postgres.direct import connected
from openmemory.postgres.upgrade.building import body
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from tests.conftest import Server
from tests.postgres.databases import Place, a_name, a_place
from tests.upgrade.test_after import served
from tests.upgrade.test_odd_values import DIMENSION, FACTS, OLD_TABLES, ORDINARY, A, B, C, lift, remember
from tests.upgrade.test_script import psql

CONTROLLED = "Ada\x07\n\\Byron"
NAMES = {
    "WIN1252": ("Pádraig O’Brien", "“€uro” Š ž"),
    "WIN1251": ("Љиљана Ђорђевић", "Њ" * 64),
    "WIN866": ("АННА ПАВЛОВА", "Я"),
    "KOI8U": ("Ґанна Ґудзь", "ґ"),
    "EUC_JP": ("清水 ひろ", "重要"),
}
# Every character of the basic plane that the database has; plpgsql finds out by trying.
REPERTOIRE = r"""
CREATE FUNCTION pg_temp.repertoire() RETURNS SETOF text
    LANGUAGE plpgsql
AS $body$
DECLARE
    code integer;
    bytes bytea;
BEGIN
    FOR code IN SELECT generate_series(1, 65533) LOOP
        CONTINUE WHEN code BETWEEN 55296 AND 57343;
        bytes := decode(lpad(to_hex(CASE WHEN code < 128 THEN code
                                         WHEN code < 2048 THEN ((code >> 6) | 192) << 8 | (code & 63) | 128
                                         ELSE ((code >> 12) | 224) << 16 | (((code >> 6) & 63) | 128) << 8
                                              | (code & 63) | 128
                                    END), CASE WHEN code < 128 THEN 2 WHEN code < 2048 THEN 4 ELSE 6 END, '0'), 'hex');
        BEGIN
            RETURN NEXT convert_from(bytes, 'UTF8');
        EXCEPTION WHEN untranslatable_character OR character_not_in_repertoire THEN
            CONTINUE;
        END;
    END LOOP;
END
$body$
"""


@pytest.fixture(params=sorted(NAMES))
def encoding(request: pytest.FixtureRequest) -> str:
    """Return the name of an encoding."""
    return str(request.param)


@pytest.fixture
def other(postgres: Server, encoding: str) -> Iterator[Place]:
    """Yield a database in that encoding with upstream's empty tables."""
    template = a_name("om_other")
    with connected(postgres.owner) as administrator:
        locale = "LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0"
        administrator.execute(f"CREATE DATABASE {template} ENCODING '{encoding}' {locale}".encode())
        try:
            with a_place(postgres, template=template) as place:
                with as_utf8(place) as connection:
                    connection.execute(f"{OLD_TABLES}; {FACTS}; ALTER TABLE temporal_facts ADD user_id text".encode())
                yield place
        finally:
            administrator.execute(f"DROP DATABASE {template}".encode())


def as_utf8(place: Place) -> Connection:
    """Return a connection whose texts are not those of the database's encoding."""
    connection = Connection.connect(autocommit=True, **place.logins.owner)  # type: ignore[arg-type]  # all text
    connection.execute("SET client_encoding = 'UTF8'")
    return connection


def fill(connection: Connection, name: str, other_name: str) -> None:
    """Write rows of users of two names and of one with control characters."""
    connection.execute("ALTER TABLE openmemory_memories ADD project_id text")
    for id_, user in ((A, name), (B, other_name), (C, CONTROLLED)):
        remember(
            connection, id_, user_id=user, project_id=user, content=user, tags=f'["{name}"]', meta=f'{{"{name}": 1}}'
        )
        connection.execute("INSERT INTO openmemory_users (user_id) VALUES (%s)", [user])
        connection.execute("INSERT INTO openmemory_waypoints VALUES (%s, %s, %s, 0.5, 1, 2)", [id_, id_, user])
        query = "INSERT INTO temporal_facts VALUES (%s, %s, 'is', 'kind', 1, NULL, 1, 1, '{}', %s)"
        connection.execute(query, [id_, user, user])


@pytest.mark.parametrize("from_users", [False, True])
async def test_names_are_kept_as_the_dry_run_says_and_found(other: Place, encoding: str, from_users: bool) -> None:
    plan, (name, other_name) = Plan(DIMENSION, "rest", from_users), NAMES[encoding]
    with as_utf8(other) as connection:
        fill(connection, name, other_name)
        (digest,) = (
            connection.execute("SELECT md5(user_id) FROM openmemory_memories WHERE id = %s", [C]).fetchone() or ()
        )
        foretold = look(other.logins.owner, other.names, plan).kept_back(DIMENSION)

        done = upgrade(other.logins.owner, other.names, plan, login=other.logins.server_user)

        assert done.set_aside == foretold

        kept = [name, other_name, rf"Ada\Byron~{digest}"]
        assert digest == hashlib.md5(CONTROLLED.encode(), usedforsecurity=False).hexdigest()
        for where in ("user_id FROM openmemory_memories", "project_id FROM openmemory_memories"):
            assert [one for (one,) in connection.execute(f"SELECT {where} ORDER BY id".encode())] == kept
        of_facts = connection.execute("SELECT user_id FROM temporal_facts")
        assert sorted(of_facts.fetchall()) == sorted((one,) for one in kept)
        said = "SELECT content, tags, metadata - 'openmemory_old' FROM openmemory_memories WHERE id = %s"
        assert connection.execute(said, [B]).fetchone() == (other_name, [name], {name: 1})
        users = {user for (user,) in connection.execute("SELECT user_id FROM openmemory_users")}
        tenants = {tenant for (tenant,) in connection.execute("SELECT tenant_id FROM openmemory_memories")}
    assert users == set(kept)
    assert tenants == ({name, other_name, "rest"} if from_users else {"rest"})
    assert foretold["users: its name is longer than 128 bytes or has control characters; kept with a digest of it"] == 1
    if not from_users:
        async with served(replace(other, names=replace(other.names, dimension=DIMENSION)), DIMENSION) as client:
            of_user = await client.get(f"/users/{name}/memories", headers={"x-tenant-id": "rest"})
        assert [item["id"] for item in of_user.json()["items"]] == [A]


def test_the_files_for_psql_keep_names_too(other: Place, encoding: str) -> None:
    with as_utf8(other) as connection:
        fill(connection, *NAMES[encoding])
        for step in STEPS[:2]:
            done = psql(other, script(other.logins.owner, other.names, ORDINARY, step))
            assert done.returncode == 0, done.stderr

        lift(other)

        kept = [user for (user,) in connection.execute("SELECT user_id FROM openmemory_memories ORDER BY id")]
    assert tuple(kept[:2]) == NAMES[encoding]


def test_every_character_is_judged_as_a_request_would(other: Place) -> None:
    layout = Layout(other.names, ORDINARY)
    with as_utf8(other) as connection:
        connection.execute(layout.render("CREATE SCHEMA {staging}").encode())
        connection.execute(body(layout.block("002_add_tenant_id", "conversions")).encode())
        connection.execute(REPERTOIRE.encode())
        query = layout.render(
            "SELECT one, {staging}.fits_as_tenant('a' || one || 'b'), {staging}.is_odd('a' || one || 'b'),"
            " {staging}.as_plain('a' || one || 'b'), {staging}.is_odd(repeat(one, 64))"
            " FROM pg_temp.repertoire() AS r (one)"
        )
        rows = connection.execute(query.encode()).fetchall()
    assert len(rows) > 200
    for one, fits, is_odd, plain, is_odd_repeated in rows:
        text = f"a{one}b"
        assert fits == (tenant_problem(text) is None), repr(one)
        assert is_odd == (name_problem(text) is not None), repr(one)
        assert plain == (text if name_problem(text) is None else "ab"), repr(one)
        assert is_odd_repeated == (name_problem(one * 64) is not None), repr(one)
