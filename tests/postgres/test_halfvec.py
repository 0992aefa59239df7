"""A client's own vector that a halfvec cannot keep is refused by name, where PostgreSQL would refuse or round it."""

import numpy as np
import pytest
from psycopg import errors

from openmemory.adapters.embedders import NoEmbedder
from openmemory.core.memory import Told
from openmemory.errors import Malformed
from openmemory.service.encoding import Encoder
from tests.factories import NOON
from tests.postgres.databases import Place


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (65_519.0, None),
        (65_520.0, "has a number that a halfvec (OM_VEC_TYPE) cannot hold"),
        (-1e5, "has a number that a halfvec (OM_VEC_TYPE) cannot hold"),
        (6e-8, None),
        (1e-8, "is all zeros, rounded to a halfvec (OM_VEC_TYPE), which is near to nothing"),
        (0.0, "is all zeros, which is near to nothing"),
    ],
)
async def test_what_a_halfvec_cannot_keep_is_refused_by_its_place(
    place: Place, number: float, said: str | None
) -> None:
    encoder = Encoder(NoEmbedder(), 2, as_half=True)
    told = [Told("fine", embedding=np.ones(2, np.float32)), Told("odd", embedding=np.array([number, 0], np.float32))]
    refused = None
    try:
        await encoder.encode(told, NOON, in_batch=True)
    except Malformed as error:
        refused = error.detail

    assert refused == (said and f"items[1].embedding: {said}")
    with place.owner() as connection:
        connection.execute("CREATE EXTENSION vector")
        try:
            kept = connection.execute(f"SELECT l2_norm('[{number},0]'::halfvec) > 0".encode()).fetchone()
        except errors.NumericValueOutOfRange:
            kept = None
    assert kept == (None if said and "cannot hold" in said else (said is None,))
