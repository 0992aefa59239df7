"""Old columns under collations of their own, such as one that takes "a" and "A" for the same.

That one lets no regular expression look at a text, and two different ones let no comparison be made.
"""

import pytest
from psycopg import Connection, errors, sql

from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import DIMENSION, ORDINARY, A, B, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]

COLLATIONS = ("folding", "another in each table")

_TEXTS = """
SELECT table_name, column_name, CASE data_type WHEN 'ARRAY' THEN 'text[]' ELSE 'text' END
  FROM information_schema.columns
 WHERE table_schema = 'public'
   AND (data_type IN ('text', 'character varying') OR udt_name = '_text')
"""
_FOLDING = "CREATE COLLATION folding (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false)"
_OWN = """
CREATE TABLE temporal_facts (
    id text PRIMARY KEY, user_id text, subject text NOT NULL, predicate text NOT NULL, object text NOT NULL,
    valid_from bigint NOT NULL, valid_to bigint, confidence double precision NOT NULL, last_updated bigint NOT NULL,
    metadata text
);
ALTER TABLE openmemory_memories ADD tenant_id text, ADD project_id text, ADD own_list text[] DEFAULT '{x,Y}',
    ADD own_name varchar(20) DEFAULT 'Own', ALTER created_at TYPE text, ALTER salience TYPE text;
ALTER TABLE openmemory_vectors ADD tenant_id text, ADD project_id text;
ALTER TABLE openmemory_users ADD tenant_id text DEFAULT 'default';
"""
_IDS_ARE_TEXT = """
ALTER TABLE openmemory_memories ALTER id TYPE text;
ALTER TABLE openmemory_vectors ALTER id TYPE text;
"""
_ROWS = f"""
INSERT INTO openmemory_vectors (id, sector, user_id, v, dim)
SELECT id, 'semantic', user_id, decode(repeat('0000803f', {DIMENSION}), 'hex'), {DIMENSION} FROM openmemory_memories;
INSERT INTO openmemory_waypoints VALUES ('{A}', '{B}', 'ADA', 0.5, 1, 1);
INSERT INTO openmemory_users (user_id, summary) VALUES ('ada', 'is kind');
INSERT INTO temporal_facts VALUES ('{A}', 'ada', 'Ada', 'likes', 'tea', 1, NULL, 1, 1, '{{}}');
"""


def fill(connection: Connection, collation: str, more: str) -> None:
    """Write two memories, of users whose names differ in case only, and give each text column a collation."""
    if collation == "folding":
        try:
            connection.execute(_FOLDING.encode())
        except errors.FeatureNotSupported:
            pytest.skip("this PostgreSQL has no ICU, and so no collation that folds")
    for statement in filter(str.strip, f"{_OWN}{more}".split(";")):
        connection.execute(statement.encode())
    for id_, user in ((A, "ada"), (B, "ADA")):
        remember(connection, id_, user_id=user, created_at="1700000000001", salience="0.5")
    for statement in filter(str.strip, _ROWS.split(";")):
        connection.execute(statement.encode())
    for table, column, kind in connection.execute(_TEXTS.encode()).fetchall():
        of_table = "C" if "vectors" in table or "facts" in table else "POSIX"
        own = sql.Identifier(of_table if collation == "another in each table" else collation)
        names = sql.Identifier(table), sql.Identifier(column)
        connection.execute(sql.SQL("ALTER TABLE {} ALTER {} TYPE {} COLLATE {}").format(*names, sql.SQL(kind), own))


@pytest.mark.parametrize("collation", COLLATIONS)
@pytest.mark.parametrize("more", ["", _IDS_ARE_TEXT], ids=["uuids", "text ids"])
@pytest.mark.parametrize("plan", [ORDINARY, Plan(DIMENSION, tenant_from_user=True)], ids=["one tenant", "users'"])
def test_columns_under_collations_of_their_own_are_lifted_byte_by_byte(
    odd: Place, plan: Plan, more: str, collation: str
) -> None:
    with odd.owner() as connection:
        fill(connection, collation, more)

        found = look(odd.logins.owner, odd.names, plan)
        report = upgrade(odd.logins.owner, odd.names, plan)

        users = connection.execute("SELECT id::text, user_id FROM openmemory_memories ORDER BY user_id DESC").fetchall()
        vectors = connection.execute("SELECT count(*) FROM openmemory_vectors WHERE embedding IS NOT NULL").fetchone()
    assert report.steps == STEPS
    assert sorted(users) == [(A, "ada"), (B, "ADA")]
    assert vectors == (2,)
    assert found.kept_back(DIMENSION) == report.set_aside


@pytest.mark.parametrize("collation", COLLATIONS)
def test_psql_lifts_columns_under_collations_of_their_own(odd: Place, collation: str) -> None:
    with odd.owner() as connection:
        fill(connection, collation, _IDS_ARE_TEXT)
    for step in STEPS[:3]:
        psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step))

    report = upgrade(odd.logins.owner, odd.names, ORDINARY)

    assert (report.rows["memories"], report.rows["vectors"]) == (2, 2)


@pytest.mark.parametrize("column", ["salience", "created_at"])
def test_a_value_under_a_folding_collation_that_cannot_be_read_is_named(odd: Place, column: str) -> None:
    with odd.owner() as connection:
        fill(connection, "folding", "")
        connection.execute(f"UPDATE openmemory_memories SET {column} = 'soon' WHERE user_id = 'ada'".encode())

    with pytest.raises(Exception, match=f"column {column} of .* cannot be read as"):
        look(odd.logins.owner, odd.names)
