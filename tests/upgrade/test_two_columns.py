"""Old vectors with both columns: the bytes in `v` are the value, and `embedding` only where there are none."""

import numpy as np
import pytest
from psycopg import Connection

from openmemory.postgres.upgrade.plan import STEPS
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import ORDINARY, A, B, lift, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]

GOOD, GARBAGE = "[0.1,-0,1e-45,-2.5]", "[3,3,3,3]"
VALUE = np.array([7, 8, 9, 10], "<f4").tobytes()


def two_columns(connection: Connection, v: str) -> None:
    """Have a good value in each column alone, and garbage beside a good one; `v` is that column's type."""
    change = f"ALTER TABLE openmemory_vectors ADD embedding vector, ALTER v TYPE {v} USING NULL"
    connection.execute(f"CREATE EXTENSION vector; {change}".encode())
    remember(connection, A)
    remember(connection, B)
    value = VALUE if v == "bytea" else "[7,8,9,10]"
    for id_, sector, bytes_, embedding in (
        (A, "semantic", None, GOOD),
        (A, "episodic", value, GARBAGE),
        (B, "semantic", None, "[1,2]"),
        (B, "episodic", None, None),
    ):
        connection.execute(
            "INSERT INTO openmemory_vectors (id, sector, v, dim, embedding) VALUES (%s, %s, %s, 4, %s)",
            [id_, sector, bytes_, embedding],
        )


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
@pytest.mark.parametrize("v", ["bytea", "vector"])
def test_a_value_that_is_only_in_embedding_is_kept_and_garbage_beside_bytes_is_not_read(
    odd: Place, v: str, by: str
) -> None:
    with odd.owner() as connection:
        two_columns(connection, v)
        if by == "psql":
            for step in STEPS[:2]:
                upgrade(odd.logins.owner, odd.names, ORDINARY, only=step)
            done = psql(odd, script(odd.logins.owner, odd.names, ORDINARY, STEPS[2]))
            assert done.returncode == 0, done.stderr
        lift(odd)
        found = connection.execute(
            "SELECT id::text, sector, vector_send(embedding) FROM openmemory_vectors ORDER BY id, sector"
        ).fetchall()
        aside = connection.execute("SELECT sector, v, reason FROM openmemory_vector_quarantine ORDER BY 1").fetchall()
        good = connection.execute("SELECT vector_send(%s::vector)", [GOOD]).fetchone()
    assert good is not None
    known = {(id_, sector): value for id_, sector, value in found if value is not None}
    assert known == {
        (A, "semantic"): good[0],
        (A, "episodic"): b"\0\4\0\0" + np.frombuffer(VALUE, "<f4").astype(">f4").tobytes(),
    }
    assert [(sector, value) for sector, value, _ in aside] == [
        ("episodic", None),
        ("semantic", np.array([1, 2], "<f4").tobytes()),
    ]
