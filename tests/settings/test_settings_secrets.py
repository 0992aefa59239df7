"""Secrets: never in a message, a table of settings or a repr."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from openmemory.settings import describe, load
from openmemory.settings.catalogue import catalogue
from openmemory.settings.masking import mask_dsn, mask_text

Wrong = Callable[..., str]

SECRETS = [name for name, setting in catalogue().items() if setting.secret]
GOOD = {"OM_PG_DSN": "postgresql://om:hush@db/x", "OM_PG_DIRECT_DSN": r"host=db password='hu\'sh hush'"}

passwords = st.text(st.characters(codec="utf-8", exclude_characters="\0")).map(lambda text: f"hush{text}hush")


def test_the_secrets_are_these() -> None:
    assert set(SECRETS) == {
        "OM_ADMIN_KEY",
        "OM_API_KEY",
        "OM_JWT_SECRET",
        "OM_OPENAI_API_KEY",
        "OM_PG_APP_PASSWORD",
        "OM_PG_DIRECT_DSN",
        "OM_PG_DSN",
        "OM_PG_PASSWORD",
    }


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_in_no_table_and_no_repr(name: str) -> None:
    settings = load(environ={name: GOOD.get(name, "hush"), "OM_PG_APP_USER": "app"})

    assert "hush" not in repr(describe(settings))
    assert "hush" not in repr(settings)
    assert next(row.value for row in describe(settings) if row.name == name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OM_API_KEY", "hush hush"),
        ("OM_ADMIN_KEY", "hush\n"),
        ("OM_OPENAI_API_KEY", "hüsh hush"),
        ("OM_PG_PASSWORD", "hush\0"),
        ("OM_JWT_SECRET", "hush\udcff"),
        ("OM_PG_DSN", "mysql://om:hush@db/x"),
        ("OM_PG_DIRECT_DSN", "postgresql+asyncpg://om:hush@db/x"),
        ("OM_PG_HOST", "postgresql://om:hush@db/x"),
        ("OM_PG_DSN", "host=db password='hush"),
        ("OM_PG_HOST", "host=db password=hush"),
        ("OM_OPENAI_BASE_URL", "https://om:hush@models/v1"),
        ("OM_CORS_ORIGINS", "https://om:hush@app"),
    ],
)
def test_a_bad_value_is_told_without_the_secret(wrong: Wrong, name: str, value: str) -> None:
    message = wrong(**{name: value})

    assert message.startswith(name)
    assert "hush" not in message


def test_a_contradiction_is_told_without_the_secret(wrong: Wrong) -> None:
    environ = {**GOOD, "OM_PG_HOST": "db", "OM_PG_APP_PASSWORD": "hush"}

    assert "hush" not in wrong(**environ)


def test_a_connection_string_is_shown_with_all_but_its_passwords() -> None:
    rows = {row.name: row.value for row in describe(load(environ=GOOD))}

    assert rows["OM_PG_DSN"] == "postgresql://om:***@db/x"
    assert rows["OM_PG_DIRECT_DSN"].startswith("host=db password=***")


@pytest.mark.parametrize(
    ("dsn", "masked"),
    [
        ("postgresql://db/x", "postgresql://db/x"),
        ("postgresql://om@db/x", "postgresql://om@db/x"),
        ("postgresql://om:p@ss/w@db/x", "postgresql://om:***@db/x"),
        ("postgresql://om:a?b@db/x?sslmode=require", "postgresql://om:***@db/x?sslmode=require"),
        ("postgresql://db/x?password=p&sslmode=require", "postgresql://db/x?password=***&sslmode=require"),
        ("postgresql://db/x?user=om&%70assword=p", "postgresql://db/x?***"),
        ("host=db password = p\\ q user=om", "host=db password = *** user=om"),
        ("host=db sslpassword='p \\' q' user=om", "host=db sslpassword=*** user=om"),
        ("host=db PASSWORD=p=q user=om", "host=db PASSWORD=*** user=om"),
        ("host=db password='p q", "***"),
        ("host=db password='p''q'", "***"),
        ("host=db oauth_client_secret=p scram_client_key=q", "host=db oauth_client_secret=*** scram_client_key=***"),
    ],
)
def test_passwords_are_masked_in_every_form_of_connection_string(dsn: str, masked: str) -> None:
    assert mask_dsn(dsn) == masked


@given(passwords)
def test_no_password_of_a_uri_is_shown(password: str) -> None:
    assert "hush" not in mask_dsn(f"postgresql://ada:{password}@db:5432/x")
    assert mask_dsn(f"postgresql://ada:{quote(password, safe='')}@db:5432/x") == "postgresql://ada:***@db:5432/x"


@given(passwords)
def test_no_password_of_the_keywords_is_shown(password: str) -> None:
    dsn = make_conninfo(host="db", password=password, user="ada")

    assert mask_dsn(dsn) == "host=db password=*** user=ada"


@pytest.mark.parametrize("way", [{"OM_PG_HOST": "db", "OM_PG_PASSWORD": "hush"}, {"OM_PG_DSN": GOOD["OM_PG_DSN"]}])
def test_a_login_shows_no_password(way: dict[str, str]) -> None:
    database = load(environ={**way, "OM_PG_APP_USER": "app", "OM_PG_APP_PASSWORD": "hush"}).database

    assert "hush" not in repr((database.owner_login, database.app_login))


def test_an_address_is_shown_without_its_user() -> None:
    assert mask_text("https://ada:hush@models/v1") == "https://***@models/v1"


def test_after_the_name_of_a_password_nothing_is_shown() -> None:
    assert mask_text("host=db password='hu''sh' user=om") == "host=db password=***"
