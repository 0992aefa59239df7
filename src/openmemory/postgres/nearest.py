"""The exact similarity of candidates, and of these the memories that answer best."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from openmemory.core.memory import Embedding, Memory
from openmemory.core.records import record
from openmemory.postgres.adaptation import Floats, Uuids
from openmemory.postgres.database import TenantTx
from openmemory.postgres.statements import Call, statement


@record
class Near(Memory):
    """A memory with its exact similarity; `place` counts from 1 in the candidates given."""

    similarity: float | None
    place: int


@dataclass(frozen=True, slots=True)
class Rerank:
    """Candidates, of which the `k` most relevant at `now` are wanted, none below `min_relevance`.

    `ids`: 16 raw bytes each. The score of one is `partial + weight * similarity` to `embedding`; its relevance adds
    `salience_share` of a score above 0 times the salience.
    """

    ids: npt.NDArray[np.void]
    partials: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    embedding: Embedding | None
    k: int
    min_relevance: float | None
    salience_share: float
    now: datetime


_NEAREST = statement("nearest.nearest", Near)


async def nearest(tx: TenantTx, rerank: Rerank) -> list[Near]:
    """Return the `k` candidates that are most relevant, best first."""
    call = nearest_call(rerank)
    return await tx.all(call.statement, **call.params)


def nearest_call(rerank: Rerank) -> Call[Near]:
    """Return the statement of `nearest` with its parameters."""
    params = {
        "ids": Uuids(rerank.ids),
        "partials": Floats(rerank.partials),
        "weights": Floats(rerank.weights),
        "embedding": rerank.embedding,
        "squared_length": None if rerank.embedding is None else _squared_length(rerank.embedding),
        "k": rerank.k,
        "min_relevance": rerank.min_relevance,
        "salience_share": rerank.salience_share,
        "now": rerank.now,
    }
    return Call(_NEAREST, params)


def _squared_length(embedding: Embedding) -> float:
    length = float(np.linalg.norm(embedding.astype(np.float64)))
    return length * length
