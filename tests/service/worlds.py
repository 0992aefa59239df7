"""Small random tenants and questions, and in plain Python what a filter leaves."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
from hypothesis import strategies as st

from openmemory.core.memory import Asked, Embedding, Filters, JsonObject, JsonValue, Memory, Told
from openmemory.core.scope import Scope
from openmemory.core.sectors import Sector
from tests.factories import NOON

USERS = (None, "u", "v")
SESSIONS = (None, "s", "t")
PROJECTS = (None, "p", "q")
TAGS = ("a", "b", "it's", 'x"\\{},')
METADATA: Sequence[JsonObject] = ({}, {"a": 1}, {"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [2]}, "d": None})
WORDS = ("lamp", "brass", "harbour", "ferry", "Mara", "yesterday", "install", "feel")


def embedding_of(seed: int) -> Embedding:
    """Return a vector of no special length."""
    drawn = np.random.default_rng(seed).standard_normal(256) * (1 + seed % 3)
    return np.asarray(drawn, np.float32)


seeds = st.integers(0, 10_000)
instants = st.integers(0, 6).map(lambda hours: NOON + timedelta(hours=hours))
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
tags = st.lists(st.sampled_from(TAGS), max_size=3, unique=True).map(tuple)
told = st.builds(
    Told,
    content=texts,
    user_id=st.sampled_from(USERS),
    project_id=st.sampled_from(PROJECTS),
    session_id=st.sampled_from(SESSIONS),
    speaker=st.sampled_from([None, "Mara", "Ben"]),
    occurred_at=instants,
    sector=st.sampled_from([None, *Sector]),
    tags=tags,
    metadata=st.sampled_from(METADATA),
    salience=st.sampled_from([0.1, 0.5, 1.0]),
    embedding=seeds.map(embedding_of),
)
worlds = st.lists(told, max_size=40).map(
    # A number each, so that no two say the same.
    lambda all_told: [replace(one, content=f"{one.content} n{place}") for place, one in enumerate(all_told)]
)
filters = st.builds(
    Filters,
    session_id=st.sampled_from(SESSIONS),
    sectors=st.one_of(st.none(), st.integers(1, 31)),
    tags=tags,
    tags_any=tags,
    metadata=st.sampled_from([None, *METADATA, {"b": {"c": [1]}}, {"a": 2}]),
    since=st.one_of(st.none(), instants),
    until=st.one_of(st.none(), instants),
    include_shared=st.booleans(),
)
questions = st.one_of(
    st.builds(Asked, text=texts, k=st.just(1000)),
    st.builds(Asked, text=st.none(), embedding=seeds.map(embedding_of), k=st.just(1000)),
    st.builds(Asked, text=texts, embedding=seeds.map(embedding_of), k=st.just(1000)),
)


def passes(memory: Memory, wanted: Filters) -> bool:
    """Return whether a filter leaves `memory`."""
    return (
        wanted.session_id in (None, memory.session_id)
        and (wanted.sectors is None or bool(memory.sectors & wanted.sectors))
        and set(wanted.tags) <= set(memory.tags)
        and (not wanted.tags_any or bool(set(wanted.tags_any) & set(memory.tags)))
        and (wanted.metadata is None or contains(memory.metadata, wanted.metadata))
        and (wanted.since is None or memory.occurred_at >= wanted.since)
        and (wanted.until is None or memory.occurred_at < wanted.until)
    )


def contains(outer: JsonValue, inner: JsonValue) -> bool:
    """Return whether JSON contains JSON, as PostgreSQL's @> has it for objects, arrays and plain values."""
    if isinstance(outer, dict) and isinstance(inner, dict):
        return all(name in outer and contains(outer[name], value) for name, value in inner.items())
    if isinstance(outer, list) and isinstance(inner, list):
        return all(any(contains(one, wanted) for one in outer) for wanted in inner)
    return type(outer) is type(inner) and outer == inner


def belongs(one: Told, scope: Scope, *, shared: bool = False) -> bool:
    """Return whether what was told is of the scope's user and project."""
    of_user = scope.user in (None, one.user_id) or (shared and one.user_id is None)
    return of_user and scope.project in (None, one.project_id)
