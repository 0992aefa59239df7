"""Some of an old database's vectors, by which those that no model made are told."""

from collections.abc import Mapping
from dataclasses import dataclass

from openmemory.core.synthetic import Sample, samples
from openmemory.postgres.direct import find_types, patient, permitted
from openmemory.postgres.statements import Names, statement
from openmemory.postgres.upgrade import sources
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.places import Columns
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.questions import Questions


@dataclass(frozen=True, slots=True)
class _Value:
    value: bytes


_SAMPLE = statement("upgrade/sample.sample", _Value)


def sampled(asking: Questions, columns: Columns, table: str) -> dict[int, Sample]:
    """Return what some vectors of `table`, quoted and with its schema, hold, by their dimension."""
    values = [name for name in ("v", "embedding") if sources.is_value(columns.get(name, ""))]
    if not values or "sector" not in columns or "id" not in columns:
        return {}
    own = sources.value(columns)
    is_bytes = sources.vector_source(columns) == "bytes"
    found = asking.all(
        _SAMPLE,
        table=table,
        table_text=Layout.literal(table),
        columns=", ".join(values),
        some=" OR ".join(f"{name} IS NOT NULL" for name in values),
        # What pgvector sends begins with four bytes that are no number. The order of a number's bytes does not matter.
        value=own if is_bytes else f"substr(vector_send(({own})::vector), 5)",
    )
    return samples(one.value for one in found)


def kept_sample(conninfo: Mapping[str, str], names: Names) -> Sample | None:
    """Return what some old vectors of the database's dimension hold, None where they were dropped."""
    with patient(conninfo) as connection, permitted():
        find_types(connection, names.schema)
        layout = Layout(names, Plan(names.dimension))
        table = layout.render("{kept_vectors}")
        found = sampled(Questions(connection, layout), sources.columns_of(connection, "vectors", table), table)
        return found.get(names.dimension)
