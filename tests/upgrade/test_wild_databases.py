"""Whatever an old database holds: each value of it is somewhere afterwards, and what was foretold came true."""

from dataclasses import replace

from hypothesis import HealthCheck, Phase, given, settings

from openmemory.postgres.shared_indexes import IndexChoice
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.found import Found
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.obstacles import refuse_obstacles
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from tests.conftest import Server
from tests.postgres.databases import Place, a_place
from tests.upgrade.test_script import psql
from tests.upgrade.wild.databases import COMPUTED, OldDatabase, old_databases
from tests.upgrade.wild.law import lost
from tests.upgrade.wild.reading import as_text, read_new, read_old
from tests.upgrade.wild.values import DIMENSION

_LARGE = settings(deadline=None, suppress_health_check=list(HealthCheck))
# An example takes about a second, so that to shrink one takes minutes: of the few that the suite tries it says what is
# lost as they are. `--hypothesis-profile many` (tests/conftest.py) tries others, and shrinks what it finds.
_FEW = settings(_LARGE, max_examples=10, derandomize=True, database=None, phases=[Phase.generate])


@(_LARGE if settings.get_current_profile_name() == "many" else _FEW)
@given(drawn=old_databases())
def test_every_old_value_is_somewhere_and_what_was_foretold_came_true(postgres: Server, drawn: OldDatabase) -> None:
    names = Names(dimension=DIMENSION, vector_type="halfvec" if drawn.as_halves else "vector")
    with a_place(postgres, names) as place, place.owner() as connection:
        as_text(connection)
        database = drawn.write(connection)
        old = read_old(connection, database)

        found, set_aside = lift(place, database)

        outcome = read_new(connection)
        assert lost(connection, database, old, outcome) == []
        assert not any(COMPUTED in new.columns for rows in outcome.rows.values() for new in rows)
        assert found.kept_back(found.dimension) == set_aside
        assert {(one.table, one.column): one.rows for one in found.unmapped if one.is_noted} == database.own_values()
        computed = {(one.table, one.column): one.rows for one in found.unmapped if one.expression}
        assert computed == database.computed_values()


def lift(place: Place, database: OldDatabase) -> tuple[Found, dict[str, int]]:
    """Upgrade as the owner does; returns what was found before, and how many rows were set aside."""
    plan = Plan(place.names.dimension, "rest", database.tenant_from_user)
    found = look(place.logins.owner, place.names, plan)
    plan = replace(plan, dimension=found.dimension)
    refuse_obstacles(place.logins.owner, replace(place.names, dimension=found.dimension), found, IndexChoice())
    for step in STEPS[: 4 if database.by_psql else 0]:
        done = psql(place, script(place.logins.owner, place.names, plan, step))
        assert done.returncode == 0, done.stderr
    return found, upgrade(place.logins.owner, place.names, plan).set_aside
