"""What tenant B tries with A's names on what keeps the service running: keys, recalls, turns, counts and upkeep."""

import asyncio
from contextlib import suppress

from openmemory.adapters.embedders import HashEmbedder
from openmemory.core.memory import JsonValue
from openmemory.postgres.statements import Names
from openmemory.service.clock import system_clock
from openmemory.service.compatibility import check_facts, facts_of
from openmemory.service.corpora import worked
from openmemory.service.recalls import Recalls
from openmemory.service.shares import SearchTurns, Shares
from openmemory.service.upkeep import forget_keys, keep_alive
from tests.factories import NOON
from tests.tenancy.attempts import Answers, Attempt, Case, tried


async def _once(at: Attempt) -> Answers:
    async def write(_: object) -> JsonValue:
        return "written by B"

    def answered(text: JsonValue) -> JsonValue:
        return text

    once = at.stage.idempotency.once
    return [
        await tried(once(at.scope, "loopback", at.theirs.key, digest, write, answered))
        for digest in (b"digest", b"another")
    ]


async def _note(at: Attempt) -> Answers:
    at.stage.recalls.note(at.scope, at.theirs.ids)
    return [await at.stage.recalls.flush()]


async def _run(at: Attempt) -> Answers:
    recalls = Recalls(at.database, lambda: NOON)
    recalls.note(at.scope, at.theirs.ids)
    running = asyncio.create_task(recalls.run())
    await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return [await recalls.flush()]


async def _admit(at: Attempt) -> Answers:
    return [await at.stage.tenants.admit(at.scope.tenant)]


async def _is_known(at: Attempt) -> Answers:
    return [await at.stage.tenants.is_known(at.scope.tenant)]


async def _ping(at: Attempt) -> Answers:
    await at.stage.tenants.ping()
    return []


async def _turn(at: Attempt) -> Answers:
    turns, shares = SearchTurns(2, 0), Shares(1, 0)
    async with turns.turn(at.scope.tenant), shares.turn(at.scope.tenant):
        return []


async def _keep_alive(at: Attempt) -> Answers:
    revived: Answers = []
    running = asyncio.create_task(keep_alive(at.stage.tenants, lambda: revived.append("revived"), every_s=0))
    await at.stage.tenants.ping()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return revived


async def _forget_expired(at: Attempt) -> Answers:
    await at.stage.idempotency.forget_expired()
    return []


async def _forget_keys(at: Attempt) -> Answers:
    running = asyncio.create_task(forget_keys(at.stage.idempotency, every_s=0))
    await at.stage.idempotency.forget_expired()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return []


async def _visible_rows(at: Attempt) -> Answers:
    return [await at.stage.census.visible_rows(scope) for scope in (at.scope, at.as_their_user)]


async def _count(at: Attempt) -> Answers:
    return [await at.stage.census.count(scope) for scope in (at.scope, at.as_their_user)]


async def _sizes(at: Attempt) -> Answers:
    return [await at.stage.census.sizes(scope) for scope in (at.scope, at.as_their_user)]


async def _clock(_at: Attempt) -> Answers:
    return [system_clock().tzinfo]


async def _worked(_at: Attempt) -> Answers:
    return [await worked([], lambda: "what was given")]


async def _facts(_at: Attempt) -> Answers:
    wanted = facts_of(Names(), HashEmbedder(256))
    check_facts({}, wanted)
    return [wanted]


RUNNING_CASES: dict[str, Case] = {
    "census.Census.count": _count,
    "census.Census.sizes": _sizes,
    "census.Census.visible_rows": _visible_rows,
    "clock.system_clock": _clock,
    "corpora.worked": _worked,
    "compatibility.check_facts": _facts,
    "compatibility.facts_of": _facts,
    "idempotency.Idempotency.once": _once,
    "recalls.Recalls.flush": _note,
    "recalls.Recalls.note": _note,
    "recalls.Recalls.run": _run,
    "shares.SearchTurns.turn": _turn,
    "shares.Shares.turn": _turn,
    "tenants.Tenants.admit": _admit,
    "idempotency.Idempotency.forget_expired": _forget_expired,
    "upkeep.forget_keys": _forget_keys,
    "tenants.Tenants.is_known": _is_known,
    "tenants.Tenants.ping": _ping,
    "upkeep.keep_alive": _keep_alive,
}
