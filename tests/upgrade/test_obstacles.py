"""What would end an upgrade after hours is refused before it, and named with the way out."""

from dataclasses import replace

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import state, upgrade
from openmemory.postgres.upgrade.way_back import down
from tests.postgres.databases import Place


def test_names_with_braces_are_names(old: Place) -> None:
    names = replace(old.names, memories="mem{x}", vectors="vec{memories}")
    with old.owner() as connection:
        connection.execute('ALTER TABLE openmemory_memories RENAME TO "mem{x}"')
        connection.execute('ALTER TABLE openmemory_vectors RENAME TO "vec{memories}"')
    assert look(old.logins.owner, names).rows["vectors"] == 715
    assert upgrade(old.logins.owner, names, Plan(1536)).rows["vectors"] == 715
    down(old.logins.owner, names)
    assert look(old.logins.owner, names).rows["vectors"] == 715


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("CREATE TABLE openmemory_meta (a int)", "openmemory_meta"),
        ("CREATE VIEW openmemory_idempotency AS SELECT 1", "openmemory_idempotency"),
        ("CREATE TABLE mine (a int); CREATE INDEX openmemory_memories_listing ON mine (a)", "memories_listing"),
        ("CREATE FUNCTION openmemory_faded(a int) RETURNS int LANGUAGE sql RETURN 1", "function openmemory_faded"),
        ("CREATE SCHEMA openmemory_old_public", "schema openmemory_old_public"),
        (
            "ALTER TABLE openmemory_users RENAME TO users_before; CREATE TABLE openmemory_users (user_id text,"
            " summary text, reflection_count int, created_at bigint, updated_at bigint)",
            "openmemory_users_pkey",
        ),
    ],
)
def test_a_name_that_something_else_has_is_refused_in_the_first_step(old: Place, made: str, named: str) -> None:
    with old.owner() as connection:
        connection.execute(made.encode())
    with pytest.raises(ConfigurationError, match=named):
        upgrade(old.logins.owner, old.names, Plan(1536))
    assert "step" not in state(old.logins.owner, old.names)


def test_memories_without_content_are_refused_by_the_look_and_named(old: Place) -> None:
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ALTER COLUMN content DROP NOT NULL")
        connection.execute("UPDATE openmemory_memories SET content = NULL WHERE content = 'true'")
        for refused in (
            lambda: look(old.logins.owner, old.names),
            lambda: upgrade(old.logins.owner, old.names, Plan(1536)),
        ):
            with pytest.raises(ConfigurationError, match=r"no content \(NULL\), such as .*SET content = ''"):
                refused()
        connection.execute("UPDATE openmemory_memories SET content = '' WHERE content IS NULL")
    assert upgrade(old.logins.owner, old.names, Plan(1536)).rows["memories"] == 568
