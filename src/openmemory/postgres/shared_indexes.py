"""The upgrade guide's approximate indexes over all tenants, one a sector, for owners who ask for them.

Our own search reads the tenant index and is exact; these are for SQL of the owner's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from psycopg import sql

from openmemory.postgres.direct import connected, extension_schema
from openmemory.postgres.statements import Names

SECTORS = ("episodic", "semantic", "procedural", "emotional", "reflective")

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


def ensure(
    conninfo: Mapping[str, str], names: Names, choice: IndexChoice, on_index: Callable[[str], None] = lambda _: None
) -> None:
    """Build the chosen indexes that are not there, without a lock that writers would wait for."""
    wanted = statements(names, choice)
    if not wanted:
        return
    with connected(conninfo) as connection:
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
                connection.execute(f"DROP INDEX {names.table(name)}".encode())
            connection.execute(text.encode())
