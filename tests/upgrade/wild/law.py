"""The law: each value of an old row is afterwards in a column, in a note of its row or in a quarantine."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from psycopg import Connection

from tests.upgrade.wild.databases import TABLES, Column, OldDatabase, uuid_of
from tests.upgrade.wild.reading import NewRow, Outcome, Row, Said, says
from tests.upgrade.wild.same import HOLDS, INSTANTS, is_nothing, is_number, milliseconds


@dataclass(frozen=True, slots=True)
class Lost:
    """An old value that is nowhere."""

    what: str
    column: str
    old: str
    row: str


def lost(connection: Connection, database: OldDatabase, old: Mapping[str, list[Row]], outcome: Outcome) -> list[Lost]:
    """Return the values of the old rows that are nowhere in what became of them."""
    law = _Law(connection, database, old, outcome)
    return [
        Lost(what, column, f"{row[column]!r}"[:300], f"{dict(row)!r}"[:600])
        for what in database.tables
        for row in old[what]
        for column in law.lost(what, row)
    ]


class _Law:
    def __init__(
        self, connection: Connection, database: OldDatabase, old: Mapping[str, list[Row]], outcome: Outcome
    ) -> None:
        self.connection, self.outcome = connection, outcome
        self.columns = {what: {one.name: one for one in table.columns} for what, table in database.tables.items()}
        self.memories = {uuid_of(row["id"]): row for row in old["memories"]}

    def lost(self, what: str, row: Row) -> list[str]:
        """Return the columns of an old row whose values are nowhere."""
        given = {name: column for name, column in self.columns[what].items() if not is_nothing(column, row[name])}
        if what == "vectors":
            return self._lost_of_vector(row, given)
        aside = [one for one in self.outcome.aside if one.source == what]
        if any(all(self._is_said(what, column, row, one.original) for column in given.values()) for one in aside):
            return []
        ways = [
            [name for name, column in given.items() if not self._is_kept(what, column, row, new)]
            for new in self.outcome.rows[what]
            if self._is_of(what, row, new)
        ]
        missing = min(ways, key=len, default=list(given) or ["(the row)"])
        if what == "facts" and ways and row["valid_to"] is None and not missing:
            # Until further notice is a value of its own.
            return [] if any(self._is_open(row, new) for new in self.outcome.rows[what]) else ["valid_to"]
        return missing

    def _is_of(self, what: str, row: Row, new: NewRow) -> bool:
        ids = {"waypoints": ("src_id", "dst_id"), "users": ()}.get(what, ("id",))
        return all(row[name] is not None and uuid_of(row[name]) == new.row[name] for name in ids) and (
            what != "users" or row["user_id"] == new.row["user_id"]
        )

    def _is_open(self, row: Row, new: NewRow) -> bool:
        noted = new.noted.get("valid_to")
        return self._is_of("facts", row, new) and (
            new.row["valid_to"] is None or (noted is not None and noted.json == "null")
        )

    def _is_kept(self, what: str, column: Column, row: Row, new: NewRow) -> bool:
        """Return whether a column of the new row has the value, or a note says it."""
        if what == "waypoints" and column.kind in {"tenant", "project"}:
            return row[column.name] in {new.row.get(column.name), self._of_memory(row["src_id"], column.name)}
        if column.name in new.row and HOLDS[column.kind](column, row[column.name], new.row):
            return True
        return any(self._is_said(what, column, row, notes) for notes in (new.noted, new.columns))

    def _is_said(self, what: str, column: Column, row: Row, notes: Mapping[str, Said]) -> bool:
        said, old = notes.get(column.name), row[column.name]
        if said is None:
            return False
        if old in (said.json, said.text):
            return True
        # Upstream's numbers are kept by their value, an owner's own to the last zero and sign.
        if column.kind != "own" and is_number(old, said.json):
            return True
        if column.type in INSTANTS and is_number(milliseconds(old), said.json):
            return True
        return bool(says(self.connection, TABLES[what], column.name, said) == old)

    def _of_memory(self, id_: str, column: str) -> object:
        return self.memories.get(uuid_of(id_), {}).get(column)

    def _lost_of_vector(self, row: Row, given: Mapping[str, Column]) -> list[str]:
        id_, sector = uuid_of(row["id"]), row["sector"]
        aside = [one for one in self.outcome.aside if one.sector == sector and uuid_of(one.id) == id_]
        new = [one.row for one in self.outcome.rows["vectors"] if (one.row["id"], one.row["sector"]) == (id_, sector)]
        values = [one["v"] for one in new] + [one.value for one in aside if one.source == "values"]
        if not values:
            return list(given)

        def is_kept(column: Column) -> bool:
            old = row[column.name]
            if column.kind == "vector":
                # What is beside a `v` is garbage, as upstream's migration left it.
                return old in values or (column.name == "embedding" and row["v"] is not None)
            if column.name == "sector" or (column.name == "dim" and any(_has(one["v"], old) for one in new)):
                return True
            if any(self._is_said("vectors", column, row, one.original) for one in aside):
                return True
            if column.name == "id":
                return row["id"] == id_ or id_ in self.memories
            return id_ in self.memories and old == self._of_memory(row["id"], column.name)

        return [name for name, column in given.items() if not is_kept(column)]


def _has(value: bytes | None, dim: str) -> bool:
    return value is not None and len(value) == 4 * Decimal(dim)
