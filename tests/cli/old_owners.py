"""What the owner of an old database has, and what he is told."""

import numpy as np

from tests.cli.homes import Ran
from tests.postgres.databases import Place

NAME, MIXED = "legacy-pre-pgvector", "legacy-pre-pgvector-mixed-dims"


def give_vectors_of_a_model(old: Place, dimension: int) -> None:
    """Put into the old table what a model makes in place of upstream's synthetic vectors."""
    vector = np.random.default_rng(5).normal(size=dimension).astype("<f4").tobytes()
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_vectors SET v = %s", [vector])


def words(ran: Ran) -> str:
    """Return what was said on either channel, without its line breaks."""
    return " ".join((ran.out + ran.err).split())
