"""The disk that an upgrade takes, as it is foretold and as it was: by the chunks that long values are kept in."""

import pytest

from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import OLD_TABLES

_ROWS = 2_000
_WORDS = "lisbon deploys kitchen walked meeting garden invoice teacher window harbour painted letters orchard silver"
_FILL = f"""
INSERT INTO openmemory_memories (id, content, primary_sector, tags, meta, created_at, salience, decay_lambda)
SELECT md5(i::text)::uuid,
       (SELECT string_agg((string_to_array('{_WORDS}', ' '))[1 + abs(hashint4(i * 31 + j)) % 14] || i % 97 + j, ' ')
          FROM generate_series(1, 12) AS j),
       'semantic', '[]', '{{}}', 1700000000000 + i, 0.5, 0.005
  FROM generate_series(1, {_ROWS}) AS i;
INSERT INTO openmemory_vectors (id, sector, v, dim)
SELECT id, 'semantic', decode(repeat(left(md5(id::text), 6) || '3d', %(dimension)s), 'hex'), %(dimension)s
  FROM openmemory_memories;
"""


@pytest.mark.parametrize(
    ("vector_type", "dimension"),
    [("vector", size) for size in (256, 384, 768, 1024, 1536, 3072)] + [("halfvec", size) for size in (768, 1536)],
)
def test_the_disk_that_is_foretold_is_what_the_new_tables_take(place: Place, vector_type: str, dimension: int) -> None:
    names = Names(dimension=dimension, vector_type=vector_type)
    with place.owner() as connection:
        connection.execute(OLD_TABLES.encode())
        for statement in filter(str.strip, _FILL.split(";")):
            connection.execute(statement.replace("%(dimension)s", str(dimension)).encode())
        foretold = look(place.logins.owner, names).estimate(vector_type, dimension)
        upgrade(place.logins.owner, names, Plan(dimension))
        ((taken,),) = connection.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()

    assert foretold.bytes == pytest.approx(int(taken), rel=0.07)
