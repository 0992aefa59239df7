"""What search keeps of a scope, as a test looks at it."""

from uuid import UUID

from openmemory.core.corpus import Corpus
from openmemory.core.scope import Scope
from openmemory.postgres.database import Database
from openmemory.service.corpora import BeingRead, Corpora


async def corpus_of(database: Database, corpora: Corpora, scope: Scope) -> Corpus:
    """Return what is kept of a scope after its own rows were asked for."""
    found = None
    while True:
        try:
            async with database.tenant(scope, read_only=True) as tx:
                return await corpora.of(tx, shared=False, found=found)
        except BeingRead as reading:
            found = await reading.over()


def ids_of(corpus: Corpus) -> set[UUID]:
    """Return the ids of the memories in it."""
    return {UUID(bytes=one.tobytes()) for one in corpus.turns.ids}
