"""An old database that is fed by logical replication: its apply worker fires the triggers of rows alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

import pytest

from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.cli.homes import PATIENCE_S
from tests.postgres.databases import a_name
from tests.upgrade.troubleshooting.machines import PASSWORD, Machine, Old

WHOLE = "SELECT md5(string_agg(m::text, '' ORDER BY id)) FROM openmemory_memories m"
WRITES = (
    "INSERT INTO openmemory_memories (id, content, primary_sector) VALUES (gen_random_uuid(), 'new', 'semantic')",
    "UPDATE openmemory_memories SET content = 'changed'",
    "DELETE FROM openmemory_memories",
    "TRUNCATE openmemory_memories",
)


@dataclass(frozen=True)
class Feed:
    """A copy of an old database whose memories are published, and the subscription of the old one to it."""

    old: Old
    name: str

    def write(self, statement: str) -> None:
        """Write to the copy."""
        self.old.machine.server.run(statement, database=self.name)

    def wait_until_refused(self) -> None:
        """Wait until the subscription has met an error, which ends it."""
        deadline_s = monotonic() + PATIENCE_S
        query = f"SELECT subenabled FROM pg_subscription WHERE subname = '{self.name}'"
        while self.old.machine.server.value(query, self.old.database):
            assert monotonic() < deadline_s

    @property
    def memories(self) -> object:
        """The digest of the old memories."""
        return self.old.machine.server.value(WHOLE, self.old.database)


@contextmanager
def a_feed(old: Old) -> Iterator[Feed]:
    """Yield a subscription of the old database's memories; what is in them is there already."""
    machine: Machine = old.machine
    feed, way = Feed(old, a_name("feed")), f"host={machine.server.folder} user=postgres password={PASSWORD}"
    machine.server.run(f"CREATE DATABASE {feed.name} TEMPLATE {old.database}")
    # A server that subscribes to itself would wait for itself while it makes the slot.
    feed.write(f"CREATE PUBLICATION {feed.name} FOR TABLE openmemory_memories")
    feed.write(f"SELECT pg_create_logical_replication_slot('{feed.name}', 'pgoutput')")
    old.run(
        f"CREATE SUBSCRIPTION {feed.name} CONNECTION '{way} dbname={feed.name}' PUBLICATION {feed.name}"
        " WITH (create_slot = false, copy_data = false, disable_on_error = true)"
    )
    try:
        yield feed
    finally:
        old.run(
            f"ALTER SUBSCRIPTION {feed.name} DISABLE",
            f"ALTER SUBSCRIPTION {feed.name} SET (slot_name = NONE)",
            f"DROP SUBSCRIPTION {feed.name}",
        )


@pytest.mark.parametrize("statement", WRITES)
def test_what_a_replication_brings_during_an_upgrade_is_refused_and_not_lost(ready: Old, statement: str) -> None:
    with a_feed(ready) as feed:
        upgrade(ready.owner.logins.owner, ready.owner.names, Plan(1536), only=STEPS[0])
        before = feed.memories
        feed.write(statement)
        feed.wait_until_refused()
        assert feed.memories == before


def test_a_subscription_that_feeds_the_old_tables_is_named(ready: Old) -> None:
    with a_feed(ready) as feed:
        found = look(ready.owner.logins.owner, ready.owner.names).dependants
        assert [(one.kind, one.name, one.of_table) for one in found] == [
            ("subscription", feed.name, "openmemory_memories")
        ]
        assert "stops at the first" in found[0].becomes
