"""Tenant A, whose rows nobody else may see; and a ghost, whose names look the same and exist nowhere."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
from psycopg import Connection, sql

from openmemory.core.memory import Place, Told
from openmemory.core.scope import Scope
from openmemory.service.idempotency import Idempotency
from openmemory.service.memories import Memories
from tests.factories import NOON, a_tenant

Rows = dict[str, list[str]]

TABLES_WITH_A_TENANT = """
SELECT c.relname
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
 WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p')
 ORDER BY c.relname
"""
REGISTRY = "openmemory_tenants"
"""The one table with a tenant_id that no tenant owns: the operator's, closed to the tenants' role."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OWN_NUMBERS = re.compile(r"(\"?(?:seq|next_before|next_cursor|salience)\"?[=:])\s*\"?[\w.-]+\"?")


@dataclass(frozen=True)
class Marks:
    """The names by which somebody's memories could be asked for; `secret` is in all of them and asked for by none."""

    tenant: str
    user: str
    session: str
    project: str
    speaker: str
    tag: str
    word: str
    key: str
    ids: tuple[UUID, ...]
    cursor: Place
    secret: str

    def hidden(self, text: str, own_tenant: str) -> str:
        """Return `text` with these names, every id and what differs by itself as labels."""
        names = (self.user, self.session, self.project, self.speaker, self.tag, self.word, self.key)
        text = _UUID.sub("<id>", text)
        for place, name in enumerate(names):
            text = text.replace(name, f"<{place}>")
        text = text.replace(self.tenant, "<theirs>").replace(own_tenant, "<own>")
        return _OWN_NUMBERS.sub(r"\1<number>", text)


def a_ghost() -> Marks:
    """Return names of nothing."""

    def named(kind: str) -> str:
        return f"{kind}{secrets.token_hex(6)}"

    return Marks(
        tenant=a_tenant(),
        user=named("user"),
        session=named("talk"),
        project=named("work"),
        speaker=named("Voice"),
        tag=named("tag"),
        word=named("word"),
        key=named("key"),
        ids=(uuid4(), uuid4(), uuid4()),
        cursor=Place(NOON, uuid4()),
        secret=secrets.token_hex(6),
    )


def a_ghost_of(victim: Marks) -> Marks:
    """Return names of nothing that a question treats as it treats the victim's: same word, same cursor."""
    return replace(a_ghost(), word=victim.word, speaker=victim.speaker, cursor=victim.cursor)


async def a_victim(memories: Memories, idempotency: Idempotency, owner: Mapping[str, str]) -> Marks:
    """Return the names of a tenant that has something in every table."""
    marks = a_ghost()
    scope = Scope(marks.tenant)
    told = [
        Told(
            f"{marks.word} keeps the spare key under stone number {place} {marks.secret}",
            id=memory_id,
            user_id=marks.user,
            project_id=marks.project,
            session_id=marks.session,
            speaker=marks.speaker,
            occurred_at=NOON + timedelta(hours=place),
            tags=(marks.tag, marks.secret),
            metadata={"note": marks.word, "secret": marks.secret},
        )
        for place, memory_id in enumerate(marks.ids)
    ]
    told.append(Told(f"what no user said: {marks.secret}", session_id=marks.secret, speaker=f"Sir {marks.secret}"))
    await memories.add_all(scope, told)
    newest = await memories.get(scope, marks.ids[-1])

    async def nothing(_: object) -> None:
        return None

    await idempotency.once(scope, "loopback", marks.key, b"digest", nothing, lambda nothing: nothing)
    _link(owner, marks)
    return replace(marks, cursor=Place(newest.created_at + timedelta(seconds=1), newest.id))


def rows_of(owner: Mapping[str, str], tenant: str, schema: str = "public") -> Rows:
    """Return all that a tenant has in every table, whatever tables there are, as the owner sees it."""
    with psycopg.connect(autocommit=True, **owner) as connection:  # type: ignore[arg-type]  # libpq's keywords are text
        found = {table: _rows(connection, schema, table, tenant) for table in tables_with_a_tenant(connection, schema)}
    return {table: rows for table, rows in found.items() if table != REGISTRY}


def tables_with_a_tenant(connection: Connection, schema: str = "public") -> list[str]:
    """Return the tables that have a tenant_id, by the catalogue."""
    return [str(name) for (name,) in connection.execute(TABLES_WITH_A_TENANT, [schema])]


def tenant_tables(connection: Connection, schema: str = "public") -> list[str]:
    """Return the tables whose rows belong to tenants, by the catalogue."""
    return [table for table in tables_with_a_tenant(connection, schema) if table != REGISTRY]


def _rows(connection: Connection, schema: str, table: str, tenant: str) -> list[str]:
    query = sql.SQL("SELECT to_jsonb(t)::text FROM {} t WHERE tenant_id = %s ORDER BY 1")
    return [str(row) for (row,) in connection.execute(query.format(sql.Identifier(schema, table)), [tenant])]


def _link(owner: Mapping[str, str], marks: Marks) -> None:
    fact = (
        "INSERT INTO temporal_facts (tenant_id, id, user_id, subject, predicate, object, valid)"
        " VALUES (%s, %s, %s, %s, 'lives in', 'Brest', '[2026-01-01,)')"
    )
    waypoint = "INSERT INTO openmemory_waypoints (tenant_id, src_id, dst_id, weight) VALUES (%s, %s, %s, 0.5)"
    with psycopg.connect(**owner) as connection:  # type: ignore[arg-type]  # libpq's keywords are text
        connection.execute("SET LOCAL ROLE openmemory_app")
        connection.execute("SELECT set_config('app.current_tenant', %s, true)", [marks.tenant])
        connection.execute(fact, [marks.tenant, marks.ids[0], marks.user, marks.word])
        connection.execute(waypoint, [marks.tenant, marks.ids[0], marks.ids[1]])
