"""The model that made an old database's vectors: from an option, the record, an answer or the settings."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from openmemory.cli.printing import agree, console, safe
from openmemory.errors import ConfigurationError

if TYPE_CHECKING:
    from openmemory.postgres.statements import Names
    from openmemory.postgres.upgrade.plan import Plan
    from openmemory.settings import Settings

_PROVIDERS = frozenset({"static", "hash", "openai"})
_ANSWERS_TO_ANOTHER_QUESTION = frozenset({"y", "yes", "n", "no", "ok", "true", "false"})


def model_of(value: str | None) -> str | None:
    """Return a model's name; raises typer.BadParameter for what is none."""
    if value is not None and (problem := _problem(value.strip())):
        raise typer.BadParameter(problem)
    return None if value is None else value.strip()


def check(said: str | None, dimension: int) -> None:
    """Raise ConfigurationError for a model that cannot have made vectors of this dimension."""
    if said and (problem := _impossible(said, dimension)):
        raise ConfigurationError(f"--embedding-model {said}: {problem}. Nothing was changed")


def model(settings: "Settings", recorded: Mapping[str, str], plan: "Plan", said: str | None, *, yes: bool) -> str:
    """Return the model to record: from the option, the record of an upgrade, an answer now, or the settings.

    The settings come last, and only if their provider's model has the vectors' dimension. That is no proof, so the
    report names the model. Raises Declined if the owner does not want a recorded name changed.
    """
    from openmemory.postgres.upgrade.plan import UNKNOWN_MODEL

    begun_with = recorded.get("embedding_model")
    if said and begun_with not in {None, UNKNOWN_MODEL, said}:
        _agree_to_change(begun_with or "", said, yes=yes)
    if said or begun_with:
        return said or begun_with or ""
    if plan.embedding_model != UNKNOWN_MODEL:
        return plan.embedding_model
    likely = _configured(settings, plan)
    return likely if yes else _answer(likely, plan.dimension)


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


def _agree_to_change(recorded: str, said: str, *, yes: bool) -> None:
    agree(
        f"The vectors are recorded as made by {safe(recorded)}. They stay as they are: with a wrong name questions find"
        f" next to nothing, and `openmemory reembed` is the way to another model. Record {safe(said)} instead?",
        yes=yes,
    )


def _answer(likely: str, dimension: int) -> str:
    """Return the model that the owner types, or `likely` for an empty line; without a terminal, also for a bad one."""
    while True:
        console(stderr=True).print(
            "Which model made the old vectors, such as openai:text-embedding-3-small? It may be named later."
            f" [{likely}] ",
            end="",
        )
        answer = sys.stdin.readline().strip()
        problem = (_problem(answer) or _impossible(answer, dimension)) if answer else None
        if not answer or (problem and not sys.stdin.isatty()):
            return likely
        if problem is None:
            return answer
        console(stderr=True).print(f"{safe(answer)} {problem}; or press Enter")


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


def _configured(settings: "Settings", plan: "Plan") -> str:
    """Return the provider's model of the settings if it has the vectors' dimension, else UNKNOWN_MODEL."""
    from openmemory.postgres.upgrade.plan import UNKNOWN_MODEL

    chosen = settings.embeddings
    if chosen.embedder == "openai" and chosen.model and settings.vectors.dim == plan.dimension:
        return f"openai:{chosen.model}"
    return UNKNOWN_MODEL
