"""The vectors of an old database by their lengths, and those that are none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade import kinds, sources
from openmemory.postgres.upgrade.places import Columns
from openmemory.postgres.upgrade.questions import Count, Questions

_READ_AT_MOST_BYTES = 256 << 20
_NO_MEMORY = "vectors: no memory has this id"
_NO_VALUE = "vectors: no value"
_NO_FLOATS = "vectors: length is not a multiple of 4 bytes"


@dataclass(frozen=True, slots=True)
class Lengths:
    """The old vectors by their lengths."""

    dimensions: dict[int, int]
    """How many have so many dimensions, the most frequent first."""
    empty: int
    odd: dict[str, int]
    """Those that are none, and those of no memory, by the reason."""


@dataclass(frozen=True, slots=True)
class _OfLength:
    """Vectors whose values have so many bytes, or that have no value, and whether their memory is there."""

    bytes: int | None
    has_memory: bool
    count: int


@dataclass(frozen=True, slots=True)
class _NotFinite:
    holding_nan: int
    holding_infinity: int


_MEMORIES = statement("upgrade/lengths.memories", Count)
_VECTORS = statement("upgrade/lengths.vectors", _OfLength)
_WITHOUT_VECTOR = statement("upgrade/lengths.without_vector", Count)
_NOT_FINITE = statement("upgrade/lengths.not_finite", _NotFinite)


def lengths(asking: Questions, columns: Mapping[str, Columns]) -> Lengths:
    """Return the old vectors by their lengths, of which none is read; those of no memory count as such only."""
    memories, vectors = columns["memories"], columns["vectors"]
    if not vectors:
        return Lengths({}, 0, {_NO_VALUE: asking.one(_MEMORIES).count if memories else 0})
    sizes: dict[int, int] = {}
    odd = {_NO_MEMORY: 0, _NO_VALUE: 0, _NO_FLOATS: 0}
    for one in asking.all(_VECTORS, bytes=_length(vectors), **_memory(asking, columns)):
        if why := _oddity(one):
            odd[why] += one.count
        elif one.bytes is not None:
            sizes[one.bytes // 4] = sizes.get(one.bytes // 4, 0) + one.count
    if memories:
        odd[_NO_VALUE] += asking.one(_WITHOUT_VECTOR, **_memory(asking, columns)).count
    empty = sizes.pop(0, 0)
    return Lengths(dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))), empty, odd)


def not_finite(
    asking: Questions, columns: Mapping[str, Columns], dimension: int, count: int
) -> tuple[dict[str, int], bool]:
    """Return how many of the `count` vectors of `dimension` hold NaN and infinity, and whether they were looked at."""
    if sources.vector_source(columns["vectors"]) != "bytes":
        return {}, True  # pgvector lets no such number in
    if count * dimension * 4 > _READ_AT_MOST_BYTES:
        return {}, False
    value = _value(columns["vectors"])
    found = asking.one(_NOT_FINITE, value=value, own_bytes=str(dimension * 4), **_memory(asking, columns))
    return {"vectors: holds NaN": found.holding_nan, "vectors: holds infinity": found.holding_infinity}, True


def _oddity(one: _OfLength) -> str:
    """Return why these are no vectors of a memory, "" where they are."""
    if not one.has_memory:
        return _NO_MEMORY
    if one.bytes is None:
        return _NO_VALUE
    return _NO_FLOATS if one.bytes % 4 else ""


def _memory(asking: Questions, columns: Mapping[str, Columns]) -> dict[str, str]:
    """Return how the memory of a vector is found."""
    memories, vectors = columns["memories"], columns["vectors"]
    # As the steps find it: of two texts that write one UUID in two ways neither is the other's.
    same = f"m.id = {sources.raw('v.id', vectors.get('id', 'text'), memories.get('id', 'text'))}"
    # A join, which PostgreSQL can hash in parts; an EXISTS among the columns is asked for each row.
    id_type = memories.get("id", "text")
    ids = (
        f"(SELECT DISTINCT {kinds.as_id('id', id_type)} AS id FROM {{old_memories_table}})"
        if memories
        else "(SELECT NULL::text AS id WHERE false)"
    )
    return {"memory_ids": asking.layout.render(ids), "same_id": same}


def _value(vectors: Columns) -> str:
    """Return the column that holds the vectors: upstream's own bytes before anything else."""
    return "v.v" if "v" in vectors else "v.embedding" if "embedding" in vectors else "NULL::bytea"


def _length(vectors: Columns) -> str:
    """Return the bytes that a value has as floats; one that is null in `v` is read from `embedding` beside it."""
    known = {name: vectors.get(name, "") for name in ("v", "embedding")}
    found = {name: kind for name, kind in known.items() if kind.startswith(("bytea", "vector", "halfvec"))}
    if list(found.values()) == ["bytea", "bytea"]:
        del found["embedding"]
    return f"coalesce({', '.join(_length_of(name, kind) for name, kind in found.items()) or 'NULL::int'}, NULL)"


def _length_of(name: str, kind: str) -> str:
    if kind == "bytea":
        return f"octet_length(v.{name})"
    fixed = re.search(r"\((\d+)\)", kind)
    if fixed is None:
        return f"(array_length(v.{name}::real[], 1) * 4)"
    return f"(CASE WHEN v.{name} IS NOT NULL THEN {fixed[1]} * 4 END)"
