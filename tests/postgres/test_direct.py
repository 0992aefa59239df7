"""A connection past any pooler."""

import pytest

from openmemory.errors import DatabaseUnavailable
from openmemory.postgres.direct import connected
from tests.postgres.databases import Place


def test_a_connection_that_is_cut_is_told_as_what_it_is(place: Place) -> None:
    with pytest.raises(DatabaseUnavailable, match="the connection was lost: terminating connection"):
        be_cut_off(place)


def be_cut_off(place: Place) -> None:
    """Use a connection that another one ends."""
    with connected(place.logins.owner) as connection, connected(place.logins.owner) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        connection.execute("SELECT 1")
