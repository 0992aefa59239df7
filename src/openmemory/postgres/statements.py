"""SQL from the `.sql` files beside the modules, as typed values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Generic, Literal, TypeVar

from psycopg import sql
from psycopg.rows import BaseRowFactory

from openmemory.postgres.rows import rows_of

Row = TypeVar("Row")
Distance = Literal["cosine", "l2", "ip"]

# In the question's own length, so that it does not matter what unit a model measures in. Of vectors of one length all
# three are the cosine; of others each has the order of its own distance.
SIMILARITY: Mapping[Distance, str] = {
    "cosine": "nullif(1 - (v.embedding <=> %(embedding)s::{type}), 'NaN')",
    "ip": "-(v.embedding <#> %(embedding)s::{type}) / %(squared_length)s::float8",
    "l2": "1 - power(v.embedding <-> %(embedding)s::{type}, 2) / (2 * %(squared_length)s::float8)",
}

_BLOCK = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{([A-Za-z]\w*)\}")


@dataclass(frozen=True, slots=True)
class Statement(Generic[Row]):
    """One SQL statement with `{table}` placeholders, the class of the rows it returns, and how they are made."""

    name: str
    template: str
    row: type[Row]
    rows: BaseRowFactory[Row]

    def filled_in(self, **conditions: str) -> "Statement[Row]":
        """Return this statement with SQL of our own, which may bind parameters, in place of some `{name}`s."""
        template = self.template
        for name, condition in conditions.items():
            template = template.replace(f"{{{name}}}", condition)
        return replace(self, name=f"{self.name} {' '.join(conditions.values())}", template=template)


@dataclass(frozen=True, slots=True)
class Call(Generic[Row]):
    """A statement with its parameters, all but the tenant."""

    statement: Statement[Row]
    params: Mapping[str, object]


def statement(name: str, row: type[Row]) -> Statement[Row]:
    """Return the block `name` ("memories.search": block search of memories.sql).

    Raises KeyError if there is no such block, so a misspelt name fails at import.
    """
    file, block = name.split(".")
    return Statement(name, blocks(file)[block], row, rows_of(row))


@dataclass(frozen=True, slots=True)
class Names:
    """The names that settings may change, as they are substituted into SQL.

    `vector_type`, `dimension` and `distance` are those of the vectors' column.
    """

    schema: str = "public"
    memories: str = "openmemory_memories"
    vectors: str = "openmemory_vectors"
    app_role: str = "openmemory_app"
    vector_type: str = "vector"
    dimension: int = 256
    distance: Distance = "cosine"

    def render(self, template: str, more: Mapping[str, str] | None = None) -> str:
        """Return `template` with each `{name}` replaced by a quoted identifier; KeyError for an unknown name.

        `more` are further substitutes, which come before these names' own.
        """
        known = {**self._substitutes(), **(more or {})}
        return _PLACEHOLDER.sub(lambda found: known[found[1]], template)

    def render_with_params(self, template: str, more: Mapping[str, str] | None = None) -> bytes:
        """Return `template` rendered for a call that binds parameters, where a % in a name must be doubled."""
        own = ("schema", "memories", "vectors", "app_role")
        doubled = {name: getattr(self, name).replace("%", "%%") for name in own}
        own_more = {name: text.replace("%", "%%") for name, text in (more or {}).items()}
        return replace(self, **doubled).render(template, own_more).encode()

    @property
    def index_names(self) -> tuple[str, ...]:
        """The indexes of memories and vectors."""
        of_memories = (_index_name(self.memories, part) for part in INDEX_NAMES if part not in _OF_VECTORS)
        return (*of_memories, _index_name(self.vectors, "pkey"), _index_name(self.vectors, "search"))

    @property
    def tenant_tables(self) -> tuple[str, ...]:
        """The tables whose rows belong to tenants."""
        ours = ("openmemory_users", "openmemory_waypoints", "temporal_facts", "openmemory_idempotency")
        return (self.memories, self.vectors, *ours)

    def table(self, name: str) -> str:
        """Return the quoted, schema-qualified identifier of a table."""
        return sql.Identifier(self.schema, name).as_string()

    def _substitutes(self) -> Mapping[str, str]:
        fixed = ("users", "waypoints", "tenants", "meta", "idempotency", "migrations")
        return {
            "memories": self.table(self.memories),
            "vectors": self.table(self.vectors),
            "temporal_facts": self.table("temporal_facts"),
            **{name: self.table(f"openmemory_{name}") for name in fixed},
            **{f"memories_{part}": _identifier(self.memories, part) for part in INDEX_NAMES},
            **{f"vectors_{part}": _identifier(self.vectors, part) for part in INDEX_NAMES},
            "schema": sql.Identifier(self.schema).as_string(),
            "app_role": sql.Identifier(self.app_role).as_string(),
            "textrange": self.table("openmemory_textrange"),
            "faded": self.table("openmemory_faded"),
            "similarity": SIMILARITY[self.distance].replace("{type}", self.vector_type),
            "vector_type": self.vector_type,
            "dimension": str(self.dimension),
        }


_IDENTIFIER_MAX_BYTES = 63
INDEX_NAMES = ("pkey", "said_once", "listing", "user_listing", "search", "memory_fkey")
_OF_VECTORS = {"search", "memory_fkey"}


def _identifier(table: str, part: str) -> str:
    return sql.Identifier(_index_name(table, part)).as_string()


def _index_name(table: str, part: str) -> str:
    """Return the name of an index or constraint; the table's end becomes a hash where it would pass 63 bytes."""
    name = f"{table}_{part}"
    if len(name.encode()) > _IDENTIFIER_MAX_BYTES:
        digest = blake2b(table.encode(), digest_size=4).hexdigest()
        room = _IDENTIFIER_MAX_BYTES - len(digest) - len(part) - 2
        name = f"{table.encode()[:room].decode(errors='ignore')}_{digest}_{part}"
    return name


def schema_beside(prefix: str, schema: str) -> str:
    """Return the name of a schema beside `schema`: a hash where it would pass 63 bytes, or have a % to be doubled."""
    name = f"{prefix}_{schema}"
    if len(name.encode()) <= _IDENTIFIER_MAX_BYTES and "%" not in name:
        return name
    return f"{prefix}_{blake2b(schema.replace('%%', '%').encode(), digest_size=8).hexdigest()}"


def schemas_of_upgrade(schema: str) -> tuple[str, str]:
    """Return the schemas in which an upgrade of `schema` fills its new tables and keeps the old ones."""
    return schema_beside("openmemory_new", schema), schema_beside("openmemory_old", schema)


def schema_of_reembedding(schema: str) -> str:
    """Return the schema in which new vectors for `schema` are filled."""
    return schema_beside("openmemory_reembed", schema)


@cache
def blocks(file: str) -> dict[str, str]:
    """Return the named blocks of a `.sql` file, in order."""
    text = (files("openmemory.postgres") / f"{file}.sql").read_text(encoding="utf-8")
    _, *parts = _BLOCK.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))
