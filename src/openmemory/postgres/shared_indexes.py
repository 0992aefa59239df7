"""The upgrade guide's approximate indexes over all tenants, one a sector, for owners who ask for them.

Our own search reads the tenant index and is exact; these are for SQL of the owner's.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import Connection, errors

from openmemory.core.sectors import Sector
from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import find_types, patient
from openmemory.postgres.event_triggers import explained_triggers
from openmemory.postgres.failures import first_line
from openmemory.postgres.limits import INDEXABLE_DIMENSIONS
from openmemory.postgres.statements import Names

_LEAST_KB, _MOST_KB = 256 * 1024, 1024 * 1024
_SAMPLES_A_LIST, _FEWEST_SAMPLES = 50, 10_000
# A page of 8 KiB without its header and what pgvector keeps at its end, and how PostgreSQL aligns a tuple on it.
_PAGE, _ROOM_OF_PAGE, _ALIGNED, _POINTER = 8192, 8160, 8, 4
# The heads of an hnsw element, of its neighbours, of an index tuple and of a vector; a neighbour is a tuple's place.
_ELEMENT, _NEIGHBOURS, _NEIGHBOUR, _TUPLE, _VECTOR = 72, 4, 6, 8, 8
_NUMBER_BYTES = {"vector": 4, "halfvec": 2}
_OPERATORS = {"cosine": "cosine_ops", "l2": "l2_ops", "ip": "ip_ops"}


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """What OM_PGVECTOR_INDEX_TYPE and the settings of that type say; "auto" and "none" ask for no such index."""

    type: str = "auto"
    m: int = 16
    ef_construction: int = 64
    lists: int = 1000


def statements(names: Names, choice: IndexChoice) -> dict[str, str]:
    """Return the SQL of each sector's index by its name; nothing unless hnsw or ivfflat is chosen."""
    if choice.type == "hnsw":
        options = f"m = {choice.m}, ef_construction = {choice.ef_construction}"
    elif choice.type == "ivfflat":
        options = f"lists = {choice.lists}"
    else:
        return {}
    operators = f"{names.vector_type}_{_OPERATORS[names.distance]}"
    return {
        name: names.render(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {{vectors}} USING {choice.type}"
            f" (embedding {operators}) WITH ({options}) WHERE sector = '{sector}'"
        )
        for sector, name in ((sector, f"idx_vectors_{sector}_{choice.type}") for sector in Sector)
    }


def check(names: Names, choice: IndexChoice) -> None:
    """Raise ConfigurationError if pgvector cannot index vectors of this dimension so."""
    most = INDEXABLE_DIMENSIONS[names.vector_type]
    if choice.type in {"hnsw", "ivfflat"} and names.dimension > most:
        narrower = "OM_VEC_TYPE=halfvec takes up to 4000; or set " if names.vector_type == "vector" else "Set "
        raise ConfigurationError(
            f"OM_PGVECTOR_INDEX_TYPE={choice.type}: pgvector indexes {names.vector_type} up to {most} dimensions, the"
            f" vectors have {names.dimension}. {narrower}OM_PGVECTOR_INDEX_TYPE=auto, which needs no such index"
        )


def size_of(choice: IndexChoice, vector_type: str, dimension: int, rows: int) -> int:
    """Return how many bytes the chosen indexes take for so many vectors, 0 where none is chosen.

    hnsw has an element and its list of 2 m neighbours a vector, side by side where a page has room for both, else a
    page each; few vectors are on higher levels as well. ivfflat has a tuple a vector, and a page begun for each list.
    """
    vector = _VECTOR + _NUMBER_BYTES[vector_type] * dimension
    if choice.type == "ivfflat":
        a_page = _ROOM_OF_PAGE // (_aligned(_TUPLE + vector) + _POINTER)
        return (-(-rows // max(1, a_page)) + len(Sector) * choice.lists) * _PAGE
    if choice.type != "hnsw":
        return 0
    neighbours = _aligned(_NEIGHBOURS + _NEIGHBOUR * 2 * choice.m)
    a_page = _ROOM_OF_PAGE // (_aligned(_ELEMENT + vector) + neighbours + 2 * _POINTER)
    return (-(-rows // a_page) if a_page else 2 * rows) * _PAGE


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def give_memory(connection: Connection, names: Names, choice: IndexChoice) -> None:
    """Let the session build with what the index needs, of 256 MB to 1 GB, or with what the server gives if more."""
    wanted = min(max(_LEAST_KB, _needed_kb(names, choice)), _MOST_KB)
    connection.execute(
        "SELECT set_config('maintenance_work_mem', greatest(setting::bigint, %s)::text, false) FROM pg_settings"
        " WHERE name = 'maintenance_work_mem'",
        [wanted],
    )


def _needed_kb(names: Names, choice: IndexChoice) -> int:
    """Return what ivfflat's k-means allocates where there are rows to sample (pgvector's ivfkmeans.c); hnsw may wait.

    50 samples a list with their distances to every centre, three arrays of centres, and the centres' distances.
    """
    if choice.type != "ivfflat":
        return 0
    samples = max(choice.lists * _SAMPLES_A_LIST, _FEWEST_SAMPLES)
    vector_bytes = 4 * names.dimension + 16
    distances = 4 * choice.lists * (samples + choice.lists)
    return (vector_bytes * (samples + 3 * choice.lists) + distances + 8 * samples) // 1024 + 1024


def too_large(error: errors.ProgramLimitExceeded) -> str:
    """Return what to do where an index does not fit."""
    return (
        f"{first_line(error)}. Raise maintenance_work_mem on the server, or set OM_IVFFLAT_LISTS lower, or"
        " OM_PGVECTOR_INDEX_TYPE=auto, which needs no such index"
    )


def ensure(
    conninfo: Mapping[str, str], names: Names, choice: IndexChoice, on_index: Callable[[str], None] = lambda _: None
) -> None:
    """Build the chosen indexes that are not there, without a lock that writers would wait for."""
    wanted = statements(names, choice)
    if not wanted:
        return
    check(names, choice)
    with patient(conninfo) as connection, _explained(), explained_triggers("no index was built", conninfo):
        give_memory(connection, names, choice)
        find_types(connection, names.schema)
        for name, text in wanted.items():
            there = connection.execute(
                "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass(%s)", [names.table(name)]
            ).fetchone()
            if there == (True,):
                continue
            on_index(name)
            if there == (False,):  # an interrupted build leaves an index that is kept up and never used
                connection.execute(f"DROP INDEX CONCURRENTLY {names.table(name)}".encode())
            connection.execute(text.encode())


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except errors.ProgramLimitExceeded as error:
        raise ConfigurationError(f"no index was built: {too_large(error)}") from error
