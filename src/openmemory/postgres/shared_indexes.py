"""The upgrade guide's approximate indexes over all tenants, one a sector, for owners who ask for them.

Our own search reads the tenant index and is exact; these are for SQL of the owner's.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import Connection, errors, sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import extension_schema, patient
from openmemory.postgres.failures import first_line
from openmemory.postgres.statements import Names

SECTORS = ("episodic", "semantic", "procedural", "emotional", "reflective")

_DIMENSIONS_AT_MOST = {"vector": 2000, "halfvec": 4000}
_LEAST_KB, _MOST_KB = 256 * 1024, 1024 * 1024
_SAMPLES_A_LIST, _FEWEST_SAMPLES = 50, 10_000
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
        for sector, name in ((sector, f"idx_vectors_{sector}_{choice.type}") for sector in SECTORS)
    }


def check(names: Names, choice: IndexChoice) -> None:
    """Raise ConfigurationError if pgvector cannot index vectors of this dimension so."""
    most = _DIMENSIONS_AT_MOST[names.vector_type]
    if choice.type in {"hnsw", "ivfflat"} and names.dimension > most:
        narrower = "OM_VEC_TYPE=halfvec takes up to 4000; or set " if names.vector_type == "vector" else "Set "
        raise ConfigurationError(
            f"OM_PGVECTOR_INDEX_TYPE={choice.type}: pgvector indexes {names.vector_type} up to {most} dimensions, the"
            f" vectors have {names.dimension}. {narrower}OM_PGVECTOR_INDEX_TYPE=auto, which needs no such index"
        )


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
    with patient(conninfo) as connection, _explained():
        give_memory(connection, names, choice)
        schemas = [names.schema, *filter(None, [extension_schema(connection)])]
        path = sql.SQL(", ").join(map(sql.Identifier, schemas))
        connection.execute(sql.SQL("SET search_path TO {}").format(path))
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
