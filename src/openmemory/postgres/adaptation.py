"""How pgvector's types travel between Python and PostgreSQL: binary, without text in between."""

from typing import Any

from pgvector import SparseVector
from pgvector.psycopg import register_vector_async
from psycopg import AsyncConnection

from openmemory.core.text import TermVector

TERM_SPACE = 1 << 29
"""The number of dimensions of a memory's term list: one a 29-bit term key."""


async def register_types(connection: AsyncConnection[Any]) -> None:
    """Teach `connection` the types vector, halfvec, sparsevec and bit, where the database has them."""
    cursor = await connection.execute("SELECT to_regtype('vector') IS NOT NULL")
    found = await cursor.fetchone()
    if found and found[0]:
        await register_vector_async(connection)


def sparse(terms: TermVector) -> SparseVector:
    """Return the term frequencies as PostgreSQL stores them."""
    weights = dict(zip(terms.keys.tolist(), terms.frequencies.tolist(), strict=True))
    return SparseVector(weights, TERM_SPACE)
