"""Convert old vectors with SQL alone, as step 003 does it under psql: `python -m benchmarks.pure_sql`.

One connection, so one core. The rows are of an old database's shape: the bytes of 1536 random float32, in TOAST.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import numpy as np
import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks import report
from openmemory.postgres import embedded
from openmemory.postgres.migrate import migrate
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.sources import create_views

_STEP = "003_convert_vectors_to_pgvector"
_DATABASE = "pure_sql"
_DIMENSION = 1536
_LEAST_PER_S = 500

_OLD_TABLES = """
CREATE TABLE openmemory_memories (id uuid PRIMARY KEY, user_id text, content text, primary_sector text);
CREATE TABLE openmemory_vectors (id uuid, sector text, user_id text, v bytea, dim integer, PRIMARY KEY (id, sector));
"""

# What steps 1 and 2 leave behind, as far as vectors need it.
_STAGE = """
ALTER TABLE {vectors} DROP CONSTRAINT {vectors_memory_fkey}, DROP CONSTRAINT {vectors_pkey};
DROP INDEX {staging}.{vectors_search};
ALTER TABLE {memories} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {vectors} NO FORCE ROW LEVEL SECURITY;
CREATE FUNCTION {staging}.as_id(old text) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN old::uuid;
CREATE FUNCTION {staging}.as_tenant(old_tenant text, old_user text) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN 'default';
INSERT INTO {memories} (tenant_id, id, content, primary_sector, sectors, salience, salience_at, decay_rate, occurred_at,
                        last_seen_at, created_at, updated_at)
SELECT 'default', raw_id, content, primary_sector, 2, 0.5, now(), 0, now(), now(), now(), now() FROM {old_memories};
CREATE VIEW {old_owners} AS SELECT raw_id, id, tenant_id, user_id, project_id FROM {old_memories};
ANALYZE {memories};
"""


@contextmanager
def old_database(data_dir: Path, rows: int) -> Iterator[tuple[Connection, Layout]]:
    """Yield the owner's connection to a new database with so many old vectors, ready for the step."""
    names = Names(dimension=_DIMENSION)
    layout = Layout(names, Plan(dimension=_DIMENSION))
    with embedded.start(data_dir) as server:
        with psycopg.connect(server.owner_dsn(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {_DATABASE}".encode())
        conninfo = conninfo_to_dict(make_conninfo(server.owner_dsn(), dbname=_DATABASE))
        own = {key: str(value) for key, value in conninfo.items() if value is not None}
        with psycopg.connect(autocommit=True, **own) as connection:  # type: ignore[arg-type]  # libpq's are text
            _fill(connection, rows)
            connection.execute("CREATE EXTENSION vector")
            _create_role(connection, names.app_role)
            migrate(own, layout.staging)
            for block in ("record", "quarantine"):
                connection.execute(layout.block("001_enable_pgvector", block).encode())
            create_views(connection, layout)
            connection.execute(layout.block("session", "functions").encode())
            connection.execute(layout.render(_STAGE).encode())
            for name, block in layout.blocks(_STEP).items():
                if name != "convert":
                    connection.execute(block.encode())
            yield connection, layout


def measure(connection: Connection, layout: Layout, rows: int) -> dict[str, float]:
    """Return rows a second: of the bytes read as floats alone, and of the whole step, written and committed."""
    read = layout.render("SELECT count({staging}.openmemory_vector_of(v)) FROM {old_vectors_table}")
    step = layout.render("CALL {staging}.openmemory_convert_vectors()")
    connection.execute(read.encode())  # fills the cache, and makes the tables of the plan
    return {"floats_per_s": rows / _seconds(connection, read), "step_per_s": rows / _seconds(connection, step)}


def _seconds(connection: Connection, query: str) -> float:
    started = time.perf_counter()
    connection.execute(query.encode())
    return time.perf_counter() - started


def _fill(connection: Connection, rows: int) -> None:
    report.say(f"writing {rows} old vectors")
    connection.execute(_OLD_TABLES)
    random = np.random.default_rng(1536)
    with connection.cursor().copy("COPY openmemory_vectors (id, sector, v, dim) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["uuid", "text", "bytea", "int4"])
        for number in range(rows):
            vector = random.standard_normal(_DIMENSION)
            value = (vector / np.linalg.norm(vector)).astype("<f4").tobytes()
            copy.write_row((UUID(int=number), "semantic", value, _DIMENSION))
    connection.execute("INSERT INTO openmemory_memories SELECT id, NULL, 'made up', sector FROM openmemory_vectors")


def _create_role(connection: Connection, role: str) -> None:
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
        connection.execute(f'CREATE ROLE "{role}"'.encode())


def main() -> None:
    """Measure as the command line says."""
    parser = report.options((__doc__ or "").partition("\n")[0])
    report.add_data_dir(parser)
    parser.set_defaults(data_dir=parser.get_default("data_dir").with_name("pure-sql"))
    parser.add_argument("--rows", type=int, default=10_000, metavar="N", help="old vectors (default: 10000)")
    args = parser.parse_args()
    with old_database(args.data_dir, args.rows) as (connection, layout):
        report.say("converting")
        found = measure(connection, layout, args.rows)
    rows = [{"rows": args.rows, "dimension": _DIMENSION, **{name: round(value) for name, value in found.items()}}]
    checks = [report.check("rows a second of the whole step", found["step_per_s"], least=_LEAST_PER_S)]
    report.show("step 003 in pure SQL", rows, checks, as_json=args.json)


if __name__ == "__main__":
    main()
