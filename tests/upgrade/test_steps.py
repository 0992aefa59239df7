"""The five steps on the recorded old databases, compared bit for bit by the shared folder's own script."""

from dataclasses import replace
from pathlib import Path

import pytest

from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.steps import state, upgrade
from tests.conftest import Server
from tests.postgres.databases import Place
from tests.upgrade.catalogues import catalogue
from tests.upgrade.old_databases import an_old_place, summary, verify


@pytest.mark.parametrize(
    ("name", "dimension", "aside"),
    [("legacy-pre-pgvector", 1536, 0), ("legacy-v1.2.0", 256, 0), ("legacy-pre-pgvector-mixed-dims", 256, 263)],
)
def test_a_recorded_database_is_lifted_bit_for_bit(
    postgres: Server, shared: Path, name: str, dimension: int, aside: int
) -> None:
    with an_old_place(postgres, shared, name, dimension) as old:
        report = upgrade(old.logins.owner, old.names, Plan(dimension), login=old.logins.server_user)
        said = verify(old, shared, name)
        counts = summary(shared, name)["row_counts"]
        assert state(old.logins.owner, old.names)["step"] == "done"
    assert report.steps == STEPS
    assert said["identical"] == counts["openmemory_vectors"] - aside
    assert (said["different"], said["missing"], said["extra"], said["fell"]) == ([], [], [], {})
    assert said["quarantined"] == aside


def test_a_lifted_database_has_the_catalogue_of_a_fresh_one(old: Place, place: Place) -> None:
    names = replace(place.names, dimension=1536)
    fresh = Place(place.logins, names)
    fresh.migrate()
    lifted = Place(old.logins, replace(old.names, app_role=names.app_role))
    upgrade(lifted.logins.owner, lifted.names, Plan(1536), login=old.logins.server_user)
    with fresh.owner() as one, lifted.owner() as other:
        wanted = catalogue(one, names)
        found = catalogue(other, names, "openmemory_embed_logs", "openmemory_stats", "stats")
    for what, rows in wanted.items():
        assert found[what] == rows, what
