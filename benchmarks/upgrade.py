"""Lift a made-up old database, a step at a time: `python -m benchmarks.upgrade --rows 1000000`.

Rows, seconds, disk and WAL of each step, the migrator's peak memory, and what that means for 50 million.
"""

import argparse
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from uuid import UUID

import numpy as np
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks import corpus, report
from openmemory.postgres import embedded
from openmemory.postgres.direct import connected
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.plan import STEPS, Plan, Progress
from openmemory.postgres.upgrade.steps import upgrade

_DATABASE = "upgrade"
_MEMORY_BOUND_MB, _CONVERTED_LEAST_PER_S = 300, 8_000
_PROJECTED = 50_000_000
_BATCH, _APART = 2_000, 997
_TABLES = """
CREATE TABLE openmemory_memories (
    id uuid PRIMARY KEY, user_id text, segment integer DEFAULT 0, content text NOT NULL, simhash text,
    primary_sector text NOT NULL, tags text, meta text, created_at bigint, updated_at bigint, last_seen_at bigint,
    salience double precision, decay_lambda double precision, version integer DEFAULT 1, mean_dim integer,
    mean_vec bytea, compressed_vec bytea, feedback_score double precision DEFAULT 0
);
CREATE TABLE openmemory_vectors (
    id uuid NOT NULL, sector text NOT NULL, user_id text, v bytea, dim integer NOT NULL, PRIMARY KEY (id, sector)
);
CREATE TABLE openmemory_waypoints (
    src_id text NOT NULL, dst_id text NOT NULL, user_id text NOT NULL, weight double precision NOT NULL,
    created_at bigint, updated_at bigint, PRIMARY KEY (src_id, user_id)
);
CREATE TABLE openmemory_users (
    user_id text PRIMARY KEY, summary text, reflection_count integer DEFAULT 0, created_at bigint, updated_at bigint
);
"""


def fill(connection: Connection, rows: int, dimension: int, chars: int = 0) -> None:
    """Write upstream's tables with so many memories, each with a vector and a waypoint to the one before.

    Each says what it is told, and more until it has `chars` characters.
    """
    connection.execute(_TABLES.encode())
    more = " ".join(one.content for one in corpus.memories("more", 0, max(_BATCH, chars // 25))) if chars else ""
    chance = np.random.default_rng(4)
    for start in range(0, rows, _BATCH):
        told = list(corpus.memories("old", start, min(rows, start + _BATCH)))
        ids = [UUID(bytes=chance.bytes(16), version=4) for _ in told]
        users = [f"user-{(start + place) // corpus.PER_USER}" for place in range(len(told))]
        at = 1_700_000_000_000 + start
        with connection.cursor().copy(
            "COPY openmemory_memories (id, user_id, content, primary_sector, tags, meta, created_at, updated_at,"
            " last_seen_at, salience, decay_lambda) FROM STDIN"
        ) as copy:
            for place, (one, id_, user) in enumerate(zip(told, ids, users, strict=True)):
                begin = place * _APART % max(1, len(more) - chars)
                said = f"{one.content} {more[begin : begin + chars - len(one.content) - 1]}" if chars else one.content
                copy.write_row((id_, user, said, "semantic", "[]", "{}", at, at, at, 0.5, 0.005))
        vectors = chance.standard_normal((len(told), dimension), np.float32)
        with connection.cursor().copy("COPY openmemory_vectors FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["uuid", "text", "text", "bytea", "int4"])
            for id_, user, vector in zip(ids, users, vectors, strict=True):
                copy.write_row((id_, "semantic", user, vector.astype("<f4").tobytes(), dimension))
        with connection.cursor().copy("COPY openmemory_waypoints FROM STDIN") as copy:
            for source, target, user in zip(ids[1:], ids, users[1:], strict=False):
                copy.write_row((str(source), str(target), user, 0.5, at, at))
        if start // _BATCH % 25 == 0:
            report.say(f"{start:,} of {rows:,} old rows written")
    connection.execute("VACUUM (ANALYZE)")
    connection.execute("CHECKPOINT")


def lift(owner: Mapping[str, str], dimension: int, only: str, pipe: Pipe) -> None:
    """Run one step as a process of its own, and send its seconds and its peak memory in bytes."""
    begun = time.perf_counter()
    said = 0.0

    def tell(progress: Progress) -> None:
        nonlocal said
        seconds = time.perf_counter() - begun
        if seconds - said >= 10:
            said = seconds
            report.say(f"{progress.step} {progress.doing}: {progress.done:,} of {progress.total:,}, {seconds:,.0f} s")

    upgrade(owner, Names(dimension=dimension), Plan(dimension), tell, only)
    unit = 1 if sys.platform == "darwin" else 1024
    pipe.send((time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit))


def measure(owner: Mapping[str, str], rows: int, dimension: int) -> Iterator[dict[str, float | str]]:
    """Yield the figures of each step."""
    context = multiprocessing.get_context("spawn")
    for step in STEPS:
        with connected(owner) as connection:
            disk, wal = _sizes(connection)
            here, there = context.Pipe()
            process = context.Process(target=lift, args=(owner, dimension, step, there))
            process.start()
            seconds, peak = here.recv()
            process.join()
            disk_after, wal_after = _sizes(connection)
        yield {
            "step": step,
            "seconds": round(seconds, 1),
            "rows_per_s": round(rows / seconds),
            "peak_mb": round(peak / 1e6),
            "disk_gb": round((disk_after - disk) / 1e9, 2),
            "wal_gb": round((wal_after - wal) / 1e9, 2),
            "hours_for_50m": round(seconds / rows * _PROJECTED / 3600, 1),
            "disk_gb_for_50m": round((disk_after - disk) / rows * _PROJECTED / 1e9),
        }


def _sizes(connection: Connection) -> tuple[int, int]:
    row = connection.execute(
        "SELECT pg_database_size(current_database()), (pg_current_wal_insert_lsn() - '0/0')::bigint"
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def main() -> None:
    """Make the database anew, lift it, and say how it went."""
    parser = report.options(__doc__ or "")
    report.add_data_dir(parser)
    parser.add_argument("--rows", type=int, default=100_000, metavar="N", help="old vectors (default: 100000)")
    parser.add_argument("--dim", type=int, default=1536, metavar="N", help="dimensions (default: 1536)")
    parser.add_argument("--chars", type=int, default=0, metavar="N", help="of each memory (default: some 100)")
    args = parser.parse_args()
    folder: Path = args.data_dir.with_name("upgrade")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with embedded.start(folder) as server:
        rows, old_gb = _run(server.owner_dsn(), args)
    shutil.rmtree(folder, ignore_errors=True)
    converted = next(float(row["rows_per_s"]) for row in rows if row["step"] == STEPS[2])
    checks = [
        report.check("vectors a second in 003", converted, least=_CONVERTED_LEAST_PER_S),
        report.check("MB of the migrator", max(float(row["peak_mb"]) for row in rows), most=_MEMORY_BOUND_MB),
    ]
    report.show(f"upgrade of {args.rows:,} rows ({old_gb:.1f} GB)", rows, checks, as_json=args.json)


def _run(dsn: str, args: argparse.Namespace) -> tuple[list[dict[str, float | str]], float]:
    with connected({"conninfo": dsn}) as connection:
        connection.execute(f"CREATE DATABASE {_DATABASE}".encode())
    parts = conninfo_to_dict(make_conninfo(dsn, dbname=_DATABASE))
    owner = {key: str(value) for key, value in parts.items() if value is not None}
    with connected(owner) as connection:
        fill(connection, args.rows, args.dim, args.chars)
        old_gb = _sizes(connection)[0] / 1e9
    return list(measure(owner, args.rows, args.dim)), old_gb


if __name__ == "__main__":
    main()
