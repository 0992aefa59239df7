"""Which model made the vectors, as `migrate` asks for it, takes it, refuses it and has it corrected."""

import re
from pathlib import Path

import pytest

from tests.cli.homes import Home
from tests.cli.old_owners import NAME, give_vectors_of_a_model, words
from tests.postgres.databases import Place
from tests.upgrade.old_databases import verify

CHOSEN = {
    "OM_EMBEDDINGS": "openai",
    "OM_EMBED_MODEL": "text-embedding-3-small",
    "OM_OPENAI_API_KEY": "a-key",
    "OM_VEC_DIM": "1536",
}


@pytest.mark.parametrize(
    ("answers", "model"),
    [
        ("y\nopenai:text-embedding-3-small\n", "openai:text-embedding-3-small"),
        ("y\n\n", "synthetic"),
        ("y\n", "synthetic"),
        ("y\n" * 9, "synthetic"),
    ],
    ids=["named", "Enter", "nobody there", "yes to everything"],
)
def test_who_agrees_is_asked_for_the_model_and_a_yes_is_none(
    owner: Home, old: Place, shared: Path, answers: str, model: str
) -> None:
    ran = owner.run("migrate", stdin=answers)

    assert ran.status == 0, ran.err
    assert verify(old, shared, NAME)["identical"] == 715
    assert recorded(old) == model


def test_a_model_that_is_taken_from_the_settings_is_named(owner: Home, old: Place) -> None:
    give_vectors_of_a_model(old, 1536)

    ran = owner.with_settings(**CHOSEN).run("migrate", "--yes")

    assert ran.status == 0, ran.err
    assert "recorded as made by openai:text-embedding-3-small" in words(ran)


def test_vectors_of_a_model_that_nobody_names_are_of_an_unknown_one(owner: Home, old: Place) -> None:
    give_vectors_of_a_model(old, 1536)

    ran = owner.run("migrate", "--yes")

    assert ran.status == 0, ran.err
    assert "Which model made the vectors is not recorded" in words(ran)


def test_synthetic_vectors_are_not_taken_for_those_of_the_settings_model(owner: Home, old: Place) -> None:
    ran = owner.with_settings(**CHOSEN, OM_TIER="hybrid").run("migrate", "--yes")

    assert ran.status == 0, ran.err
    assert re.search(r"no model made \d+ of 80 vectors looked at", words(ran))
    assert "recorded as upstream's synthetic ones" in words(ran)
    assert "`openmemory reembed` gives every memory a vector" in words(ran)
    assert recorded(old) == "synthetic"


def test_where_a_few_vectors_are_synthetic_no_model_is_recorded_unasked(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute("CREATE TABLE few AS SELECT id, v FROM openmemory_vectors WHERE sector = 'emotional'")
    give_vectors_of_a_model(old, 1536)
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_vectors v SET v = few.v FROM few WHERE few.id = v.id")

    ran = owner.with_settings(**CHOSEN).run("migrate", "--yes")

    assert "Which model made the vectors is not recorded" in words(ran)
    assert recorded(old) == "unknown"


def test_a_model_that_is_named_is_recorded_with_a_warning_where_the_vectors_contradict_it(
    owner: Home, old: Place
) -> None:
    ran = owner.run("migrate", "--yes", "--embedding-model", "openai:text-embedding-3-small")
    late = owner.run("migrate", "--yes", "--embedding-model", "openai:text-embedding-3-large")
    own = owner.run("migrate", "--yes", "--embedding-model", "synthetic")

    for warned in (ran, late):
        assert warned.status == 0, warned.err
        assert "warning: --embedding-model openai:text-embedding-3-" in words(warned)
        assert "Questions find those by words alone; `openmemory reembed`" in words(warned)
    assert "warning: --embedding-model" not in words(own)
    assert recorded(old) == "synthetic"


@pytest.mark.parametrize(
    ("tier", "said"),
    [
        ("hybrid", "with hybrid it made synthetic ones"),
        ("fast", "with fast it made synthetic ones"),
        ("smart", "with smart it put a model's, shortened to 128 numbers, behind synthetic ones"),
    ],
)
def test_the_question_for_the_model_says_what_the_vectors_and_the_tier_tell(owner: Home, tier: str, said: str) -> None:
    ran = owner.with_settings(OM_TIER=tier).run("migrate", stdin="y\n\n")

    assert "No model made" in words(ran)
    assert said in words(ran)
    assert "[synthetic]" in words(ran)


def recorded(old: Place) -> str:
    """Return the model that the database has recorded."""
    with old.owner() as connection:
        row = connection.execute("SELECT value FROM openmemory_meta WHERE name = 'embedding_model'").fetchone()
    assert row is not None
    return str(row[0])


def test_a_model_that_was_named_late_or_wrongly_is_corrected_after_a_question(owner: Home) -> None:
    assert owner.run("migrate", "--step", "1", "--yes").status == 0
    assert owner.run("migrate", "--step", "2", "--yes", "--embedding-model", "opnai:small").status == 0

    refused = owner.run("migrate", "--embedding-model", "openai:small", stdin="y\nn\n")
    assert "recorded as made by opnai:small" in words(refused)
    assert owner.run("migrate", "--embedding-model", "openai:medium", "--yes").status == 0

    assert owner.run("migrate", "--embedding-model", "openai:small", stdin="n\n").status == 1
    assert owner.run("migrate", "--embedding-model", "openai:small", stdin="y\n").status == 0
    assert "text-embedding" not in words(owner.run("list"))
    assert "made by openai:small" in words(owner.run("list"))
    assert "reembed` made since" not in words(owner.run("migrate", "--down", stdin="n\n"))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("static", "is a setting, and no model's name"),
        ("openai", "is a setting, and no model's name"),
        ("static-v1", "makes vectors of 256 dimensions, and these have 1536"),
    ],
)
def test_a_model_that_cannot_have_made_the_vectors_is_refused_with_the_way_to_it(
    owner: Home, old: Place, model: str, why: str
) -> None:
    early = owner.run("migrate", "--dry-run", "--embedding-model", model)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)
    typed = owner.run("migrate", stdin=f"y\n{model}\n")
    late = owner.run("migrate", "--embedding-model", model, "--yes")

    for refused in (early, late):
        assert refused.status == 1
        assert f"--embedding-model {model}: {why}" in words(refused)
        assert "`openmemory reembed`" in words(refused)
    assert typed.status == 0, typed.err
    assert "recorded as upstream's synthetic ones" in words(typed)


def test_an_old_database_without_a_vector_takes_the_settings_model_and_serves(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute("TRUNCATE openmemory_memories, openmemory_vectors, openmemory_waypoints")

    assert owner.run("migrate", "--yes").status == 0

    assert owner.run("list").status == 0


def test_on_a_lifted_database_other_options_are_refused(owner: Home) -> None:
    assert owner.run("migrate", "--yes").status == 0

    ran = owner.run("migrate", "--embedding-model", "openai:small", "--dim", "256")

    assert ran.status == 1
    assert "leave --dim out" in words(ran)


def test_the_model_can_be_named_later_and_a_server_without_an_embedder_may_serve_any(owner: Home, old: Place) -> None:
    assert owner.run("migrate", "--yes").status == 0
    refused = owner.run("list")
    assert "--embedding-model NAME" in words(refused)
    assert "openmemory reembed" in words(refused)

    bare = owner.with_settings(OM_EMBEDDINGS="none", OM_VEC_DIM="1536")
    assert bare.run("list", "--tenant", "default").status == 0
    assert owner.run("migrate", "--embedding-model", "openai:text-embedding-3-small", "--yes").status == 0
    assert "text-embedding-3-small" in words(owner.run("list"))
