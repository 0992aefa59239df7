"""A server whose settings choose another model than the recorded one names its ways out, and each of them serves."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.homes import Home, a_port
from tests.cli.old_owners import give_vectors_of_a_model, words
from tests.conftest import Server
from tests.postgres.databases import a_place
from tests.upgrade.old_databases import an_old_place, dsn

_SETTING = re.compile(r"\b(OM_\w+)=([^\s;)]+)")


@pytest.fixture
def lifted(postgres: Server, shared: Path, shared_home: Home) -> Iterator[Home]:
    """Yield the settings of an owner who upgraded without a word about the model, with halfvec."""
    with an_old_place(postgres, shared, "legacy-v1.2.0", 1536) as old:
        give_vectors_of_a_model(old, 256)
        owner = shared_home.with_settings(OM_PG_DSN=dsn(old), OM_PG_APP_ROLE=old.names.app_role)
        assert owner.with_settings(OM_VEC_TYPE="halfvec").run("migrate", "--yes").status == 0
        yield owner


def refusal(home: Home) -> str:
    """Return what `serve` says; it must not start."""
    ran = home.spawn("serve", "--port", str(a_port()))
    assert ran.status == 1
    return words(ran)


def serves(home: Home, said: str) -> None:
    """Follow a way out word for word: its settings and nothing else, beside a key that is there."""
    given = dict(_SETTING.findall(said))
    assert given, said
    with home.with_settings(**given, OM_OPENAI_API_KEY="a-key").serving(a_port()):
        pass


def test_every_way_out_of_an_unknown_model_serves(lifted: Home) -> None:
    said = refusal(lifted)
    serves(lifted, said.partition("let requests bring")[2])
    assert "openmemory migrate --embedding-model NAME" in said

    assert lifted.run("migrate", "--embedding-model", "openai:text-embedding-3-small").status == 0
    serves(lifted, refusal(lifted).partition("; or ")[0])

    assert "`openmemory reembed`" in said
    assert lifted.run("reembed", "--yes").status == 0
    with lifted.serving(a_port()):
        pass


def test_the_first_way_out_of_synthetic_vectors_is_to_make_them_anew(
    postgres: Server, shared: Path, shared_home: Home
) -> None:
    with an_old_place(postgres, shared, "legacy-v1.2.0", 1536) as old:
        owner = shared_home.with_settings(OM_PG_DSN=dsn(old), OM_PG_APP_ROLE=old.names.app_role)
        assert owner.run("migrate", "--yes").status == 0

        said = refusal(owner)

        assert "made by synthetic (256 dimensions" in said
        assert "). Move every memory to the model of the settings with `openmemory reembed`; or " in said
        assert "if a model made the vectors, name it (`openmemory migrate --embedding-model NAME`)" in said
        serves(owner, said.partition("let requests bring")[2])
        assert owner.run("reembed", "--yes").status == 0
        with owner.serving(a_port()):
            pass


def test_a_name_that_no_setting_can_have_is_said_to_be_one_and_can_be_corrected(lifted: Home) -> None:
    assert lifted.run("migrate", "--embedding-model", "static-v9").status == 0

    assert "wrong name, correct it (`openmemory migrate --embedding-model NAME`)" in refusal(lifted)

    assert lifted.run("migrate", "--embedding-model", "hash-v1", "--yes").status == 0
    serves(lifted, refusal(lifted).partition("; or ")[0])


@pytest.mark.parametrize(
    "made_with",
    [
        {"OM_EMBEDDINGS": "static"},
        {"OM_EMBEDDINGS": "hash", "OM_VEC_DIM": "128"},
        {"OM_EMBEDDINGS": "none", "OM_VEC_DIM": "9"},
    ],
    ids=["static", "hash", "none"],
)
def test_the_first_way_out_is_back_to_what_the_database_was_made_with(
    postgres: Server, shared_home: Home, made_with: dict[str, str]
) -> None:
    with a_place(postgres) as place:
        owner = shared_home.with_settings(OM_PG_DSN=dsn(place), OM_PG_APP_ROLE=place.names.app_role)
        assert owner.with_settings(**made_with).run("migrate").status == 0

        said = refusal(owner.with_settings(OM_EMBEDDINGS="hash", OM_VEC_DIM="64"))

        serves(owner, said.partition("). ")[2].partition("; or ")[0])
