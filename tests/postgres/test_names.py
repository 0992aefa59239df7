"""The names that settings may change reach SQL as quoted identifiers, whatever is in them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from openmemory import app as application
from openmemory.adapters.embedders import HashEmbedder
from openmemory.app import Readied
from openmemory.core.memory import Asked, Change, Told
from openmemory.postgres import roles
from openmemory.postgres.statements import Names, statement
from openmemory.settings import Settings
from tests.conftest import Server
from tests.factories import a_scope
from tests.postgres.databases import a_place

ODD = [
    Names(schema='my "Schema"', memories='Mem"ories', vectors="Vec'tors; --", dimension=64),
    Names(schema="s" * 63, memories="m" * 63, vectors="v" * 63, dimension=64),
    Names(schema="ü" * 31, memories="ä" * 31, vectors="ö" * 31, dimension=64),
    Names(schema="100%", memories="50%s", vectors="%(tenant)s", dimension=64),
    Names(schema="{schema}", memories="{memories}", vectors="{0}", dimension=64),
    Names(memories="same start " * 5 + "of bothM", vectors="same start " * 5 + "of bothV", dimension=64),
    Names(schema="select", memories="table", vectors="user", dimension=64),
    Names(vector_type="halfvec", dimension=64),
    Names(vector_type="halfvec", distance="l2", dimension=65),
    Names(distance="ip", dimension=3),
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
async def test_the_whole_of_a_memorys_life_works_under_any_names(
    odd: Names, postgres: Server, settings: Settings
) -> None:
    with a_place(postgres, odd) as place:
        place.migrate()
        ready = Readied(place.logins, place.names, tuple(roles.check(place.logins.server, place.names)))
        async with application.open_services(settings, ready, HashEmbedder(odd.dimension)) as services:
            scope = a_scope()
            told = Told("a lamp of brass", session_id="s", speaker="Mara", user_id="u", tags=("t",))

            added = await services.memories.add(scope, told)
            again = await services.memories.add(scope, told)
            await services.memories.change(scope, added.id, Change("a lamp of copper"))
            found = await services.search.find(scope, Asked("copper lamp", explain=True))
            await services.memories.reinforce(scope, added.id)
            counts = await services.memories.sector_counts(scope)
            await services.memories.delete_user(scope, "u")

            assert again.deduplicated
            assert [match.memory.content for match in found.matches] == ["a lamp of copper"]
            assert sum(one.count for one in counts) == 1
            assert (await services.memories.totals(scope)).memories == 0


@pytest.mark.parametrize("template", ["SELECT * FROM {memory}", "{}{tenant}", "{MEMORIES}", "{statement_timeout}"])
def test_an_unknown_placeholder_is_refused(template: str) -> None:
    with pytest.raises(KeyError):
        Names().render(template)


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_a_name_is_one_identifier_wherever_it_stands(name: str) -> None:
    rendered = Names(schema=name, memories=name).render("{memories}")

    quoted = sql.Identifier(name).as_string()
    assert rendered.replace("%%", "%") == f"{quoted}.{quoted}"


def test_a_statement_that_does_not_exist_fails_when_it_is_named() -> None:
    with pytest.raises(KeyError):
        statement("memories.serach", tuple)


def test_a_halfvec_column_keeps_what_a_float2_can(postgres: Server) -> None:
    with a_place(postgres, Names(vector_type="halfvec", dimension=8)) as place:
        place.migrate()
        with place.owner() as connection:
            kind = connection.execute(
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
                " WHERE attrelid = 'openmemory_vectors'::regclass AND attname = 'embedding'"
            ).fetchone()

    assert kind == ("halfvec(8)",)
    assert np.finfo(np.float16).precision == 3
    assert replace(place.names).vector_type == "halfvec"
