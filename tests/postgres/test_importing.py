"""An import that ends early says why."""

from collections.abc import Iterator

import pytest

from openmemory.errors import DatabaseUnavailable
from openmemory.postgres.imports import Source, import_rows
from tests.postgres.databases import Place


def test_an_import_that_loses_its_connection_says_what_ended_it(place: Place) -> None:
    place.migrate()

    def rows(_: str) -> Iterator[tuple[object, ...]]:
        with place.owner() as other:
            ended = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            other.execute(f"{ended} AND datname = current_database()".encode())
        yield ("one", None)

    source = Source({"users": ("user_id", "summary")}, rows)
    with pytest.raises(DatabaseUnavailable, match="terminating connection") as lost:
        import_rows(place.logins.owner, place.names, "acme", source, None, keep_vectors=False)

    assert "Run the same command again" in lost.value.detail
