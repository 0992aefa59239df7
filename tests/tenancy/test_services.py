"""Every public method of every service, tried as tenant B with A's names: B learns nothing and A loses nothing."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Sequence

import pytest

import openmemory.service
from openmemory.adapters.embedders import HashEmbedder, Vectors
from openmemory.app import Logins
from openmemory.core.memory import Asked
from openmemory.postgres.database import Database
from openmemory.service.encoding import Encoder
from tests.factories import a_tenant
from tests.tenancy.attempts import Attempt
from tests.tenancy.conftest import Stage, an_attacker
from tests.tenancy.service_cases import CASES
from tests.tenancy.victims import Marks, a_ghost_of, rows_of

OWNERS = {
    "reembedding.Reembedding": "moves every tenant's vectors, for the owner of the database and never for a server;"
    " each tenant's rows pass through a transaction of that tenant: tests/reembedding",
}


def _public_callables() -> Iterator[str]:
    for module_info in pkgutil.iter_modules(openmemory.service.__path__):
        module = importlib.import_module(f"openmemory.service.{module_info.name}")
        for name, found in vars(module).items():
            if name.startswith("_") or getattr(found, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(found):
                yield f"{module_info.name}.{name}"
            elif inspect.isclass(found):
                methods = (method for method, value in vars(found).items() if callable(value))
                yield from (f"{module_info.name}.{name}.{one}" for one in methods if not one.startswith("_"))


def test_every_public_method_of_every_service_is_tried_as_another_tenant() -> None:
    there = {name for name in _public_callables() if name.rpartition(".")[0] not in OWNERS}

    assert not there - CASES.keys(), (
        f"no tenancy case for {sorted(there - CASES.keys())}: add one to MEMORY_CASES in"
        " tests/tenancy/memory_cases.py or to RUNNING_CASES in tests/tenancy/running_cases.py that"
        " calls it as tenant B with tenant A's ids, users, sessions, keys and cursors"
    )
    assert not CASES.keys() - there, (
        f"these are gone: take {sorted(CASES.keys() - there)} out of MEMORY_CASES or RUNNING_CASES"
    )


@pytest.mark.parametrize("name", sorted(CASES))
async def test_a_service_shows_another_tenant_nothing_and_changes_nothing(
    name: str, stage: Stage, database: Database, logins: Logins, victim: Marks
) -> None:
    attacker, stranger, ghost = await an_attacker(stage.memories), await an_attacker(stage.memories), a_ghost_of(victim)
    before = rows_of(logins.owner, victim.tenant)
    assert all(before.values()), f"tenant A has nothing in {[table for table, rows in before.items() if not rows]}"

    tried = await CASES[name](Attempt(stage, database, attacker, victim))
    imagined = await CASES[name](Attempt(stage, database, stranger, ghost))

    assert victim.secret not in repr(tried)
    # What B gets with A's names is what it would get with names that exist nowhere.
    assert victim.hidden(repr(tried), attacker.tenant) == ghost.hidden(repr(imagined), stranger.tenant)
    assert rows_of(logins.owner, victim.tenant) == before


async def test_the_trace_of_a_search_counts_the_tenants_own_rows_only(stage: Stage, victim: Marks) -> None:
    attacker = await an_attacker(stage.memories)

    found = await stage.search.find(attacker, Asked(f"{victim.word} spare key", explain=True))

    assert found.trace is not None
    assert found.trace.visible == 2
    assert victim.tenant not in "\n".join(found.trace.plan)


async def test_a_question_is_not_answered_faster_because_another_tenant_asked_it(stage: Stage, victim: Marks) -> None:
    heard = list[str]()

    class Listening(HashEmbedder):
        async def embed(self, texts: Sequence[str]) -> Vectors:
            heard.extend(texts)
            return await super().embed(texts)

    encoder, question = Encoder(Listening(), 256), f"where is {victim.word}?"

    for tenant in (victim.tenant, victim.tenant, a_tenant()):
        await encoder.embed_question(tenant, question)

    assert heard == [question, question]
