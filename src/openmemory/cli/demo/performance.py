"""The demo's work: two tenants are filled and asked, and PostgreSQL itself says what it read."""

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from uuid import UUID

from openmemory.cli.demo.talks import KESTREL, LARKSPUR, QUESTIONS, Company
from openmemory.cli.session import Session
from openmemory.core.memory import Asked, Memory, Told
from openmemory.core.scope import Scope
from openmemory.errors import MemoryNotFound
from openmemory.postgres import census
from openmemory.service.census import Census

_USER = "team"
_K = 3
_SCAN = re.compile(r"Scan\b.*? on \S+.*\(actual.* rows=([\d.]+) loops=(\d+)\)")
_CONDITION = re.compile(r"Index Cond: \((.*)\)")


@dataclass(frozen=True, slots=True)
class Read:
    """A scan in PostgreSQL's plan: its rows, and its condition on the index ("": it read everything)."""

    line: str
    condition: str
    rows: int


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company in the database, with what it keeps there."""

    company: Company
    scope: Scope
    ids: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Answer:
    """The best memory for a question, what it took, and how many of the matches were another tenant's."""

    tenant: str
    best: Memory | None
    score: float
    ms: float
    reads: tuple[Read, ...]
    strangers: int


@dataclass(slots=True)
class Report:
    """What came of the demo."""

    tenants: tuple[Tenant, ...]
    rows_in_all: int | None
    answers: list[tuple[str, list[Answer]]] = field(default_factory=list)
    found_by_id: dict[str, bool] = field(default_factory=dict)
    visible: dict[str, int] = field(default_factory=dict)

    @property
    def leaks(self) -> int:
        """Return how often anything of another tenant was read, returned or counted."""
        own = {tenant.company.name: len(tenant.ids) for tenant in self.tenants}
        answers = [answer for _, answers in self.answers for answer in answers]
        return (
            sum(answer.strangers for answer in answers)
            + sum(not proves(answer.reads, own[answer.tenant]) for answer in answers)
            + sum(self.found_by_id.values())
            + sum(self.visible[name] != count for name, count in own.items())
        )


def perform(session: Session, *, keep: bool) -> Report:
    """Fill two tenants, ask both, try to cross over, and return what came of it; without `keep` they are emptied."""
    with _stored(session, keep=keep) as tenants:
        counts = session.census
        report = Report(tenants, census.in_all(session.ready.logins.owner, session.ready.names))
        for tenant in tenants:
            session.run(_ask(session, tenant, QUESTIONS[0]))  # the first question reads the token table
        for question in QUESTIONS:
            report.answers.append((question, [session.run(_ask(session, tenant, question)) for tenant in tenants]))
        for tenant, other in zip(tenants, reversed(tenants), strict=True):
            report.found_by_id[tenant.company.name] = session.run(_reaches(session, tenant.scope, min(other.ids)))
            report.visible[tenant.company.name] = session.run(_visible(counts, tenant.scope))
        return report


def proves(reads: Sequence[Read], own_rows: int) -> bool:
    """Return whether every scan went by the tenant and read no more rows than the tenant has."""
    return bool(reads) and all("tenant_id = " in read.condition and read.rows <= own_rows for read in reads)


def reads_of(plan: Sequence[str]) -> tuple[Read, ...]:
    """Return the scans of a plan as EXPLAIN ANALYZE prints it."""
    found: list[Read] = []
    for line in plan:
        if scan := _SCAN.search(line):
            found.append(Read(line.strip(" ->"), "", round(float(scan[1]) * int(scan[2]))))
        elif found and (condition := _CONDITION.search(line)):
            found[-1] = replace(found[-1], condition=condition[1])
    return tuple(found)


@contextmanager
def _stored(session: Session, *, keep: bool) -> Iterator[tuple[Tenant, ...]]:
    """Yield the companies, stored as tenants with unused names; without `keep` nothing of them is left."""
    mark = secrets.token_hex(3)
    memories = session.services.memories
    scopes = [Scope(f"demo-{company.name}-{mark}") for company in (KESTREL, LARKSPUR)]
    try:
        tenants = []
        for company, scope in zip((KESTREL, LARKSPUR), scopes, strict=True):
            if keep:
                session.run(session.services.tenants.admit(scope.tenant))
            added = session.run(memories.add_all(scope, list(_told(company))))
            tenants.append(Tenant(company, scope, frozenset(one.id for one in added)))
        yield tuple(tenants)
    finally:
        if not keep:
            for scope in scopes:
                session.run(memories.delete_user(scope, _USER))


def _told(company: Company) -> Iterator[Told]:
    for talk in company.talks:
        moment = datetime.fromisoformat(talk.day).replace(hour=9, tzinfo=UTC)
        for turn in talk.turns:
            speaker, _, content = turn.partition(": ")
            yield Told(content, user_id=_USER, session_id=talk.session, speaker=speaker, occurred_at=moment)
            moment += timedelta(minutes=1)


async def _ask(session: Session, tenant: Tenant, question: str) -> Answer:
    search = session.services.search
    start = perf_counter()
    found = await search.find(tenant.scope, Asked(question, k=_K))
    ms = (perf_counter() - start) * 1000
    explained = await search.find(tenant.scope, Asked(question, k=_K, explain=True))
    best = found.matches[0] if found.matches else None
    return Answer(
        tenant.company.name,
        best.memory if best else None,
        best.score if best else 0.0,
        ms,
        reads_of(explained.trace.plan if explained.trace else ()),
        sum(match.memory.id not in tenant.ids for match in found.matches),
    )


async def _reaches(session: Session, scope: Scope, memory_id: UUID) -> bool:
    try:
        await session.services.memories.get(scope, memory_id)
    except MemoryNotFound:
        return False
    return True


async def _visible(counts: Census, scope: Scope) -> int:
    return await counts.visible_rows(scope)
