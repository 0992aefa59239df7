"""What each setting is by default, and what it may be."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from openmemory.errors import ConfigurationError
from openmemory.settings import Source, describe, load
from openmemory.settings.catalogue import catalogue

Wrong = Callable[..., str]

CONTRACT = {
    "OM_HOST": "127.0.0.1",
    "OM_PORT": "8080",
    "OM_DATA_DIR": "",
    "OM_PG_DSN": "",
    "OM_PG_HOST": "",
    "OM_PG_PORT": "5432",
    "OM_PG_DB": "openmemory",
    "OM_PG_USER": "",
    "OM_PG_PASSWORD": "",
    "OM_PG_SSL": "",
    "OM_PG_SCHEMA": "public",
    "OM_PG_TABLE": "openmemory_memories",
    "OM_VECTOR_TABLE": "openmemory_vectors",
    "OM_PG_APP_USER": "",
    "OM_PG_APP_PASSWORD": "",
    "OM_PG_APP_ROLE": "openmemory_app",
    "OM_PG_DIRECT_DSN": "",
    "OM_PG_DUMP": "",
    "OM_PG_POOL_MAX": "20",
    "OM_PG_POOL_IDLE_S": "30",
    "OM_PG_CONNECT_TIMEOUT_S": "2",
    "OM_STATEMENT_TIMEOUT_MS": "10000",
    "OM_TENANT_CONCURRENCY": "8",
    "OM_TENANT_WAIT_MS": "2000",
    "OM_METADATA_BACKEND": "postgres",
    "OM_VECTOR_BACKEND": "postgres",
    "OM_PGVECTOR_ENABLED": "true",
    "OM_PGVECTOR_INDEX_TYPE": "auto",
    "OM_PGVECTOR_DISTANCE": "cosine",
    "OM_HNSW_M": "16",
    "OM_HNSW_EF_CONSTRUCTION": "64",
    "OM_HNSW_EF_SEARCH": "40",
    "OM_IVFFLAT_LISTS": "1000",
    "OM_IVFFLAT_PROBES": "10",
    "OM_TIER": "hybrid",
    "OM_EMBEDDINGS": "static",
    "OM_EMBED_MODEL": "",
    "OM_OPENAI_BASE_URL": "",
    "OM_OPENAI_API_KEY": "",
    "OM_VEC_DIM": "",
    "OM_VEC_TYPE": "vector",
    "OM_MULTI_TENANT": "true",
    "OM_DEFAULT_TENANT_ID": "default",
    "OM_AUTO_CREATE_TENANTS": "true",
    "OM_TENANT": "",
    "OM_TENANT_SOURCE": "header",
    "OM_TENANT_HEADER": "x-tenant-id",
    "OM_TRUST_TENANT_HEADER": "false",
    "OM_API_KEY": "",
    "OM_ADMIN_KEY": "",
    "OM_JWT_SECRET": "",
    "OM_JWT_JWKS_URL": "",
    "OM_JWT_ISSUER": "",
    "OM_JWT_AUDIENCE": "",
    "OM_JWT_TENANT_CLAIM": "app_metadata.organization_id",
    "OM_CORS_ORIGINS": "",
    "OM_MAX_BODY_BYTES": "1MiB",
    "OM_MAX_BATCH_BYTES": "32MiB",
    "OM_MAX_UPLOAD_BYTES": "25MiB",
    "OM_SEARCH_CACHE_BYTES": "256MiB",
    "OM_LOG_LEVEL": "info",
    "OM_LOG_FORMAT": "",
}


def test_the_names_and_defaults_are_the_contracts() -> None:
    rows = describe(load(environ={}))

    assert {row.name: row.value for row in rows} == CONTRACT
    assert {row.source for row in rows} == {Source.DEFAULT}


def test_without_settings_there_is_nothing_to_warn_of() -> None:
    assert load(environ={}).warnings == ()


@pytest.mark.parametrize("name", CONTRACT)
def test_every_setting_says_what_it_does_and_what_it_takes(name: str) -> None:
    setting = catalogue()[name]

    assert setting.description.endswith(".")
    assert setting.allowed


def test_no_setting_changes_while_the_server_runs() -> None:
    settings = load(environ={})

    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1  # type: ignore[misc]  # what mypy refuses is what is tried


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OM_PORT", "abc", "OM_PORT='abc' (environment) must be a whole number, 1 to 65535"),
        ("OM_PORT", "65536", "a whole number, 1 to 65535"),
        ("OM_VEC_DIM", "0", "OM_VEC_DIM='0' (environment) must be a whole number, 1 to 8192"),
        ("OM_VEC_DIM", "8193", "1 to 8192"),
        ("OM_MULTI_TENANT", "perhaps", "must be true or false"),
        ("OM_LOG_LEVEL", "loud", "must be debug, info, warning, error or critical"),
        ("OM_PGVECTOR_DISTANCE", "hamming", "must be cosine, l2 or ip"),
        ("OM_EMBEDDINGS", "magic", "must be static, openai, none or hash"),
        ("OM_PG_SSL", "maybe", "verify-ca or verify-full"),
        ("OM_MAX_BODY_BYTES", "much", "must be a size such as 1048576, 512KiB or 32MB, 1KiB to 1GiB"),
        ("OM_MAX_BODY_BYTES", "10", "1KiB to 1GiB"),
        ("OM_HOST", "http://here", "must be a host name or an IP address"),
        ("OM_DEFAULT_TENANT_ID", "x" * 129, "is 129 bytes long; at most 128"),
        ("OM_TENANT", "a\nb", "has a control character"),
        ("OM_TENANT", "a,b", "has a comma"),
        ("OM_DEFAULT_TENANT_ID", " a", "begins or ends with white space"),
        ("OM_TENANT_HEADER", "x tenant", "is not the name of a header"),
        ("OM_TENANT_HEADER", "Authorization", "has another meaning already"),
        ("OM_CORS_ORIGINS", "https://a.example,b", "has a part that is no origin"),
        ("OM_PG_TABLE", "a$body$b", "has a dollar quote of SQL's, such as $body$"),
        ("OM_VECTOR_TABLE", "a$$b", "has a dollar quote of SQL's"),
        ("OM_PG_SCHEMA", "ä" * 32, "is 64 bytes long; must be an SQL name of 1 to 63 bytes"),
        ("OM_PG_TABLE", "a\0b", "has a NUL character"),
        ("OM_VECTOR_TABLE", "\udcff", "is not valid UTF-8"),
        ("OM_PG_SCHEMA", "pg_catalog", "belongs to PostgreSQL"),
        ("OM_PG_APP_ROLE", "pg_read_all_data", "is reserved by PostgreSQL"),
        ("OM_PG_HOST", "host=db", "belongs in OM_PG_DSN"),
        ("OM_OPENAI_BASE_URL", "localhost:11434", "is not an address of the web"),
        ("OM_OPENAI_BASE_URL", "http://[", "must be an http:// or https:// address"),
        ("OM_DATA_DIR", "~nobody-we-know/x", "begins at a home that is not known"),
        ("OM_PORT", "9" * 5000, "a whole number, 1 to 65535"),
        ("OM_MAX_BODY_BYTES", "9" * 400 + "MB", "1KiB to 1GiB"),
        ("OM_JWT_JWKS_URL", "ftp://keys", "must be an http:// or https:// address"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(wrong: Wrong, name: str, value: str, told: str) -> None:
    message = wrong(**{name: value})

    assert message.startswith(name)
    assert told in message


@given(st.sampled_from(sorted(CONTRACT)), st.text(max_size=40))
def test_whatever_is_written_there_the_answer_is_settings_or_what_is_wrong(name: str, value: str) -> None:
    with suppress(ConfigurationError):
        load(environ={name: value})


def test_a_long_value_is_cut(wrong: Wrong, folder: Path) -> None:
    assert "9" * 81 not in wrong(OM_PORT="9" * 500)


def test_a_bad_value_of_a_file_is_said_to_be_there(folder: Path) -> None:
    (folder / "my.env").write_text("OM_PORT=abc\n")

    with pytest.raises(ConfigurationError, match=r"OM_PORT='abc' \(.*my\.env\)"):
        load(folder / "my.env", {})


def test_everything_that_is_wrong_is_said_at_once(wrong: Wrong) -> None:
    environ = {"OM_PORT": "abc", "OM_LOG_LEVEL": "loud", "OM_PG_APP_PASSWORD": "hush", "OM_TIER": "deep"}

    lines = wrong(**environ).splitlines()

    assert [re.split("[ =]", line)[0] for line in lines] == list(environ)


def test_a_bad_value_is_not_blamed_twice(wrong: Wrong) -> None:
    assert "\n" not in wrong(OM_EMBEDDINGS="none", OM_VEC_DIM="many")


@pytest.mark.parametrize(
    ("text", "size"),
    [("2048", 2048), ("512KiB", 512 * 1024), ("1MiB", 1024**2), ("32MB", 32_000_000), ("1.5 MiB", 3 * 2**19)],
)
def test_a_size_may_have_a_unit(text: str, size: int) -> None:
    assert load(environ={"OM_MAX_BODY_BYTES": text}).limits.max_body_bytes == size


@pytest.mark.parametrize(
    ("text", "mode"),
    [("true", "require"), ("ON", "require"), ("false", "disable"), ("0", "disable"), ("Verify-Full", "verify-full")],
)
def test_encryption_is_said_in_upstreams_words_or_libpqs(text: str, mode: str) -> None:
    database = load(environ={"OM_PG_HOST": "db", "OM_PG_SSL": text}).database

    assert database.owner_login.keywords["sslmode"] == mode


def test_words_are_read_in_any_case() -> None:
    settings = load(environ={"OM_LOG_LEVEL": "INFO", "OM_TIER": "Smart", "OM_TENANT_HEADER": "X-Org"})

    assert (settings.logging.level, settings.embeddings.tier, settings.access.tenant_header) == (
        "info",
        "smart",
        "x-org",
    )


def test_origins_are_a_list_with_commas() -> None:
    settings = load(environ={"OM_CORS_ORIGINS": "https://a.example/, http://localhost:3000,"})

    assert settings.server.cors_origins == ("https://a.example", "http://localhost:3000")


def test_the_folder_may_begin_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")

    assert load(environ={"OM_DATA_DIR": "~/memory"}).database.data_dir == Path("/home/ada/memory")
