"""Which settings are refused, alone or together, and which are idle."""

import re
from collections.abc import Callable
from importlib.resources import files

import pytest
from pydantic import ValidationError

from openmemory.postgres.limits import DIMENSION_MAX
from openmemory.postgres.statements import INDEX_NAMES, Names
from openmemory.postgres.upgrade.layout import OWN_TABLES
from openmemory.settings import ServerSettings, Settings, load
from openmemory.settings.rules import OUR_TABLES, TELLING_BYTES
from openmemory.wire.fields import EMBEDDING_MOST

MADE = re.compile(r"CREATE (?:TABLE|TYPE) (\{\w+\})")
Wrong = Callable[..., str]

EVERYWHERE = "0.0.0.0"  # noqa: S104  # nothing is bound here
OPENAI = {"OM_EMBEDDINGS": "openai", "OM_EMBED_MODEL": "text-embedding-3-small"}


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"OM_METADATA_BACKEND": "sqlite"}, "`openmemory import sqlite`"),
        ({"OM_VECTOR_BACKEND": "valkey"}, "`openmemory import sqlite`"),
        ({"OM_PGVECTOR_ENABLED": "false"}, "pgvector keeps the vectors and does the search"),
        ({"OM_EMBEDDINGS": "gemini"}, "not in this version yet"),
        ({"OM_EMBEDDINGS": "AWS"}, "OM_EMBEDDINGS=openai"),
        (
            {"OM_EMBEDDINGS": "ollama"},
            "OM_OPENAI_BASE_URL set to any server of that interface (http://localhost:11434/v1",
        ),
        ({"OM_EMBEDDINGS": "local"}, "OM_EMBED_MODEL"),
        ({"OM_TENANT_SOURCE": "jwt"}, "not in this version yet"),
        ({"OM_TENANT_SOURCE": "api_key"}, "OM_TENANT_SOURCE=header"),
    ],
)
def test_what_is_known_and_not_served_is_refused_with_the_way_out(
    wrong: Wrong, environ: dict[str, str], told: str
) -> None:
    message = wrong(**environ)

    assert message.startswith(next(iter(environ)))
    assert told in message


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OM_PG_DSN": "postgresql://db/x", "OM_PG_HOST": "db"}, ["OM_PG_DSN", "OM_PG_HOST"]),
        ({"OM_PG_HOST": "db", "OM_PG_APP_PASSWORD": "x"}, ["OM_PG_APP_PASSWORD", "OM_PG_APP_USER"]),
        ({"OM_PG_USER": "om", "OM_PG_APP_USER": "om"}, ["OM_PG_APP_USER", "OM_PG_USER", "'om'"]),
        ({"OM_PG_USER": "om", "OM_PG_APP_ROLE": "om"}, ["OM_PG_APP_ROLE", "OM_PG_USER", "'om'"]),
        ({"OM_PG_TABLE": "a", "OM_VECTOR_TABLE": "a"}, ["OM_PG_TABLE", "OM_VECTOR_TABLE"]),
        ({"OM_PG_TABLE": "openmemory_vectors"}, ["OM_PG_TABLE", "OM_VECTOR_TABLE"]),
        ({"OM_PG_TABLE": "m" * 50 + "1", "OM_VECTOR_TABLE": "m" * 50 + "2"}, ["OM_PG_TABLE", "OM_VECTOR_TABLE"]),
        ({"OM_PG_TABLE": "openmemory_users"}, ["OM_PG_TABLE"]),
        ({"OM_VECTOR_TABLE": "temporal_facts"}, ["OM_VECTOR_TABLE"]),
        ({"OM_TIER": "deep"}, ["OM_TIER", "OM_EMBEDDINGS", "static"]),
        ({"OM_TIER": "deep", "OM_EMBEDDINGS": "hash"}, ["OM_TIER", "OM_EMBEDDINGS", "hash"]),
        ({"OM_EMBEDDINGS": "openai", "OM_OPENAI_API_KEY": "k"}, ["OM_EMBEDDINGS", "OM_EMBED_MODEL"]),
        (OPENAI, ["OM_EMBEDDINGS", "OM_OPENAI_API_KEY", "OM_OPENAI_BASE_URL"]),
        ({"OM_EMBEDDINGS": "none"}, ["OM_EMBEDDINGS", "OM_VEC_DIM"]),
        ({"OM_PGVECTOR_INDEX_TYPE": "hnsw", "OM_VEC_DIM": "2001"}, ["OM_PGVECTOR_INDEX_TYPE", "OM_VEC_DIM", "2000"]),
        (
            {"OM_PGVECTOR_INDEX_TYPE": "ivfflat", "OM_VEC_TYPE": "halfvec", "OM_VEC_DIM": "4001"},
            ["OM_PGVECTOR_INDEX_TYPE", "OM_VEC_TYPE", "4000"],
        ),
        ({"OM_HNSW_M": "40"}, ["OM_HNSW_M", "OM_HNSW_EF_CONSTRUCTION"]),
        ({"OM_HOST": EVERYWHERE}, ["OM_HOST", "OM_API_KEY", "OM_TRUST_TENANT_HEADER"]),
        ({"OM_MULTI_TENANT": "false", "OM_TENANT": "acme"}, ["OM_MULTI_TENANT", "OM_TENANT", "OM_DEFAULT_TENANT_ID"]),
    ],
)
def test_settings_that_contradict_each_other_are_named_together(
    wrong: Wrong, environ: dict[str, str], named: list[str]
) -> None:
    message = wrong(**environ)

    assert "\n" not in message
    assert all(name in message for name in named)


@pytest.mark.parametrize(
    "environ",
    [
        {"OM_PG_HOST": "/var/run/postgresql"},
        {"OM_PG_HOST": "@abstract"},
        {"OM_PG_HOST": "a.example,b.example"},
        {"OM_PG_HOST": "db", "OM_PG_APP_USER": "app", "OM_PG_APP_PASSWORD": "x"},
        {"OM_PG_HOST": "db", "OM_PG_APP_USER": "openmemory_app"},
        {"OM_PG_DSN": "host=db dbname=x"},
        {"OM_PG_TABLE": "m" * 49 + "1", "OM_VECTOR_TABLE": "m" * 49 + "2"},
        {"OM_PG_SCHEMA": "Über uns; --"},
        {"OM_PGVECTOR_INDEX_TYPE": "none", "OM_VEC_TYPE": "halfvec", "OM_VEC_DIM": "8192", "OM_EMBEDDINGS": "none"},
        {**OPENAI, "OM_TIER": "deep", "OM_OPENAI_API_KEY": "k"},
        {**OPENAI, "OM_OPENAI_BASE_URL": "http://localhost:11434/v1"},
        {"OM_EMBEDDINGS": "hash"},
        {"OM_HNSW_M": "32"},
        {"OM_HOST": EVERYWHERE, "OM_API_KEY": "k"},
        {"OM_HOST": "::", "OM_TRUST_TENANT_HEADER": "true"},
        {"OM_MULTI_TENANT": "false", "OM_DEFAULT_TENANT_ID": "acme", "OM_TENANT": "acme"},
    ],
)
def test_settings_that_go_together_start_without_a_word(environ: dict[str, str]) -> None:
    assert load(environ=environ).warnings == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_on_this_machine_alone_no_key_is_needed(host: str) -> None:
    assert load(environ={"OM_HOST": host}).server.loopback


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "10.0.0.1", "example.com", "localhost.example.com", "127.1", "0"])
def test_where_others_may_reach_the_server_it_wants_a_key_or_a_gateway(wrong: Wrong, host: str) -> None:
    assert wrong(OM_HOST=host).startswith(f"OM_HOST={host} lets other machines in")


@pytest.mark.parametrize("host", ["127.0.0.1", EVERYWHERE])
@pytest.mark.parametrize("name", ["OM_API_KEY", "OM_ADMIN_KEY"])
def test_an_empty_key_is_refused(wrong: Wrong, name: str, host: str) -> None:
    assert f"{name} (environment) is empty" in wrong(**{"OM_HOST": host, name: ""})


def test_settings_made_by_hand_are_checked_as_well() -> None:
    with pytest.raises(ValidationError, match="OM_API_KEY"):
        Settings(server=ServerSettings(host=EVERYWHERE))


@pytest.mark.parametrize(
    ("environ", "idle"),
    [
        (
            {"OM_PG_DSN": "postgresql://db/x", "OM_PG_PORT": "1", "OM_PG_PASSWORD": "x"},
            ["OM_PG_PORT", "OM_PG_PASSWORD"],
        ),
        ({"OM_PG_USER": "om", "OM_PG_APP_USER": "app"}, ["OM_PG_USER", "OM_PG_APP_USER"]),
        ({"OM_JWT_SECRET": "x", "OM_JWT_ISSUER": "y"}, ["OM_JWT_SECRET", "OM_JWT_ISSUER"]),
        ({"OM_EMBED_MODEL": "x"}, ["OM_EMBED_MODEL"]),
        ({"OM_IVFFLAT_LISTS": "10"}, ["OM_IVFFLAT_LISTS"]),
    ],
)
def test_a_setting_that_others_make_idle_is_a_warning(environ: dict[str, str], idle: list[str]) -> None:
    warnings = load(environ=environ).warnings

    assert [warning.split(" has no effect with ")[0] for warning in warnings] == idle


def test_one_key_for_customers_backend_and_operator_is_a_warning() -> None:
    warnings = load(environ={"OM_API_KEY": "same", "OM_ADMIN_KEY": "same"}).warnings

    assert any(warning.startswith("OM_ADMIN_KEY is the same as OM_API_KEY") for warning in warnings)


@pytest.mark.parametrize("name", ["OM_ADMIN_KEY", "OM_MAX_UPLOAD_BYTES", "OM_HNSW_EF_SEARCH", "OM_IVFFLAT_PROBES"])
def test_a_setting_of_a_later_version_says_so(name: str) -> None:
    values = {"OM_ADMIN_KEY": "x", "OM_MAX_UPLOAD_BYTES": "1MiB"}

    assert f"{name} has no effect in this version yet" in load(environ={name: values.get(name, "7")}).warnings


def test_the_names_that_tables_may_not_take_are_those_of_our_other_tables() -> None:
    scripts = (files("openmemory.postgres") / "migrations").iterdir()
    made = {name for script in scripts for name in MADE.findall(script.read_text(encoding="utf-8"))}

    tables = {Names().render(name) for name in made} - {Names().table(Names().memories), Names().table(Names().vectors)}

    own = {*OWN_TABLES, "openmemory_migrations"}
    assert tables | {Names().table(table) for table in own} == {Names().table(table) for table in OUR_TABLES}


def test_the_dimensions_of_a_setting_a_request_and_an_upgrade_end_at_the_same_number(wrong: Wrong) -> None:
    assert f"1 to {DIMENSION_MAX}" in wrong(OM_VEC_DIM=str(DIMENSION_MAX + 1))
    assert DIMENSION_MAX == EMBEDDING_MOST


def test_tables_that_differ_in_the_telling_bytes_have_indexes_that_differ() -> None:
    assert 63 - max(len(f"_{part}") for part in INDEX_NAMES) == TELLING_BYTES
