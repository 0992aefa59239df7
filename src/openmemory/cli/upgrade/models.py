"""The model that made an old database's vectors: from an option, the record, an answer or the settings."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from openmemory.cli.printing import agree, console, safe, warn
from openmemory.errors import ConfigurationError

if TYPE_CHECKING:
    from openmemory.core.synthetic import Sample
    from openmemory.postgres.statements import Names
    from openmemory.postgres.upgrade.plan import Plan
    from openmemory.settings import Settings

_PROVIDERS = frozenset({"static", "hash", "openai"})
_OF_NO_MODEL = frozenset({"synthetic", "none", "unknown"})
_OF_A_TIER = {
    "hybrid": "it made synthetic ones",
    "fast": "it made synthetic ones",
    "smart": "it put a model's, shortened to 128 numbers, behind synthetic ones",
    "deep": "it asked OM_OPENAI_MODEL or, where that was not set, text-embedding-3-large for the sector reflective and"
    " text-embedding-3-small for the others",
}
_ANSWERS_TO_ANOTHER_QUESTION = frozenset({"y", "yes", "n", "no", "ok", "true", "false"})


def model_of(value: str | None) -> str | None:
    """Return a model's name; raises typer.BadParameter for what is none."""
    if value is not None and (problem := _problem(value.strip())):
        raise typer.BadParameter(problem)
    return None if value is None else value.strip()


def check(said: str | None, dimension: int, sample: "Sample | None") -> None:
    """Warn of a model that cannot have made all of the vectors in a sample.

    Raises ConfigurationError for a model that cannot have made vectors of this dimension.
    """
    if said and (problem := _impossible(said, dimension)):
        raise ConfigurationError(f"--embedding-model {said}: {problem}. Nothing was changed")
    if said and said not in _OF_NO_MODEL and (contradicted := none_made(sample)):
        warn(
            f"--embedding-model {safe(said)}: {contradicted}. Questions find those by words alone; `openmemory reembed`"
            " gives every memory a vector of one model"
        )


def none_made(sample: "Sample | None") -> str:
    """Return how many vectors of a sample no model made, and by what that is told; "" where a model may have."""
    if not sample or not sample.synthetic:
        return ""
    return (
        f"no model made {sample.synthetic} of {sample.count} vectors looked at: zeros stand among their numbers, as in"
        " upstream's synthetic ones"
    )


def model(
    settings: "Settings",
    recorded: Mapping[str, str],
    plan: "Plan",
    said: str | None,
    sample: "Sample | None",
    *,
    yes: bool,
) -> str:
    """Return the model to record: from the option, the record of an upgrade, an answer now, the vectors, the settings.

    The settings come last, and only if their provider's model has the vectors' dimension and no vector of the sample is
    synthetic. That is no proof, so the report names the model. Raises Declined if the owner does not want a recorded
    name changed.
    """
    from openmemory.postgres.upgrade.plan import UNKNOWN_MODEL

    begun_with = recorded.get("embedding_model")
    if said and begun_with not in {None, UNKNOWN_MODEL, said}:
        _agree_to_change(begun_with or "", said, yes=yes)
    if said or begun_with:
        return said or begun_with or ""
    if plan.embedding_model != UNKNOWN_MODEL:
        return plan.embedding_model
    likely = _likely(settings, plan, sample)
    return likely if yes else _answer(likely, settings, plan, sample)


def without_vectors(settings: "Settings", plan: "Plan", dim: int | None) -> "Plan":
    """Return the plan for a database without vectors, which takes the settings' own model."""
    from openmemory import app

    embedder = app.create_embedder(settings)
    return replace(plan, dimension=dim or app.names(settings, embedder).dimension, embedding_model=embedder.name)


def rename(owner: Mapping[str, str], names: "Names", said: str, *, yes: bool) -> None:
    """Record which model made the vectors of a lifted database, after a question if another is recorded."""
    from openmemory.postgres.registry import facts
    from openmemory.postgres.upgrade.plan import UNKNOWN_MODEL
    from openmemory.postgres.upgrade.standing import name_model

    recorded = facts(owner, names).get("embedding_model")
    if recorded not in {None, UNKNOWN_MODEL, said}:
        _agree_to_change(recorded or "", said, yes=yes)
    name_model(owner, names, said)


def recorded_as(model: str, *, is_said: bool) -> str:
    """Return what an owner is told of the model that an upgrade recorded, "" of one that he has named himself."""
    from openmemory.postgres.upgrade.plan import SYNTHETIC_MODEL, UNKNOWN_MODEL

    naming = "`openmemory migrate --embedding-model NAME`"
    if model == UNKNOWN_MODEL:
        return (
            "Which model made the vectors is not recorded, so only OM_EMBEDDINGS=none serves yet. Name it"
            f" ({naming}), or move to the settings' own (`openmemory reembed`)."
        )
    if model == SYNTHETIC_MODEL:
        return (
            "The vectors are recorded as upstream's synthetic ones, which no embedder here makes, so only"
            " OM_EMBEDDINGS=none serves yet. `openmemory reembed` gives every memory a vector of the settings' own"
            f" model. If a model made them: {naming}."
        )
    if is_said:
        return ""
    return (
        f"The vectors are recorded as made by {safe(model)}, and questions are embedded with that. If another model"
        f" made them: {naming}."
    )


def _agree_to_change(recorded: str, said: str, *, yes: bool) -> None:
    agree(
        f"The vectors are recorded as made by {safe(recorded)}. They stay as they are: with a wrong name questions find"
        f" next to nothing, and `openmemory reembed` is the way to another model. Record {safe(said)} instead?",
        yes=yes,
    )


def _answer(likely: str, settings: "Settings", plan: "Plan", sample: "Sample | None") -> str:
    """Return the model that the owner types, or `likely` for an empty line; without a terminal, also for a bad one."""
    console(stderr=True).print(_what_is_known(settings.embeddings.tier, sample), soft_wrap=True)
    while True:
        console(stderr=True).print(
            "Which model made the old vectors, such as openai:text-embedding-3-small? It may be named later."
            f" [{likely}] ",
            end="",
        )
        answer = sys.stdin.readline().strip()
        problem = (_problem(answer) or _impossible(answer, plan.dimension)) if answer else None
        if not answer or (problem and not sys.stdin.isatty()):
            return likely
        if problem is None:
            return answer
        console(stderr=True).print(f"{safe(answer)} {problem}; or press Enter")


def _what_is_known(tier: str, sample: "Sample | None") -> str:
    """Return what the vectors and upstream's tier say of the model."""
    told = f"{contradicted[0].upper()}{contradicted[1:]}. " if (contradicted := none_made(sample)) else ""
    return (
        f"{told}Upstream asked a provider for vectors with OM_EMBED_MODE=simple where OM_EMBEDDINGS was openai or"
        f" gemini, and else as OM_TIER said: with {tier} {_OF_A_TIER[tier]}. Where the provider failed, they are"
        " synthetic."
    )


def _problem(name: str) -> str | None:
    if not name or not name.isprintable() or name.lower() in _ANSWERS_TO_ANOTHER_QUESTION:
        return "is no model's name; write it as the server does, such as openai:text-embedding-3-small"
    return None


def _impossible(name: str, dimension: int) -> str | None:
    """Return why a model cannot have made vectors of this dimension, and what to do; else None."""
    from openmemory.adapters.embedders import StaticEmbedder

    if name in _PROVIDERS:
        return (
            "is a setting, and no model's name. Name the model that made the old vectors, such as"
            " openai:text-embedding-3-small, or leave it out; `openmemory reembed` moves to the model of the settings"
        )
    if name == StaticEmbedder.name and dimension != StaticEmbedder.dimension:
        return (
            f"makes vectors of {StaticEmbedder.dimension} dimensions, and these have {dimension}. Name the model that"
            " made them, or leave it out; `openmemory reembed` moves to the model of the settings"
        )
    return None


def _likely(settings: "Settings", plan: "Plan", sample: "Sample | None") -> str:
    """Return the provider's model of the settings if the vectors may be of it, else what is known of them."""
    from openmemory.postgres.upgrade.plan import SYNTHETIC_MODEL, UNKNOWN_MODEL

    if sample and sample.synthetic:
        return SYNTHETIC_MODEL if sample.is_synthetic else UNKNOWN_MODEL
    chosen = settings.embeddings
    if chosen.embedder == "openai" and chosen.model and settings.vectors.dim == plan.dimension:
        return f"openai:{chosen.model}"
    return UNKNOWN_MODEL
