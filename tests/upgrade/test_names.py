"""Names of users and projects that the new tables cannot have as they are: kept, and told."""

from openmemory.postgres.upgrade.way_back import drop_bytea
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import A, B, lift, odd, remember

__all__ = ["odd"]


def test_the_project_of_a_waypoint_is_kept_where_it_is_not_that_of_its_source(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute(
            "ALTER TABLE openmemory_memories ADD project_id text; ALTER TABLE openmemory_waypoints ADD project_id text"
        )
        remember(connection, A, project_id="apollo")
        remember(connection, B)
        for source, target, project in ((A, B, "gemini"), (A, A, "apollo"), (B, A, None), (B, B, "apollo")):
            connection.execute(
                "INSERT INTO openmemory_waypoints VALUES (%s, %s, %s, 0.5, 1, 2, %s)",
                [source, target, f"{source}{target}", project],
            )
        aside = lift(odd)
        drop_bytea(odd.logins.owner, odd.names)
        kept = connection.execute(
            "SELECT original ->> 'src_id', original ->> 'dst_id', original ->> 'project_id'"
            " FROM openmemory_row_quarantine ORDER BY 1"
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM openmemory_waypoints").fetchone() == (4,)
    assert aside["waypoints: its project is not that of its source; kept without one"] == 2
    assert kept == [(A, B, "gemini"), (B, B, "apollo")]
