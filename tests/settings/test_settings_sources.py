"""Where settings come from, and what becomes of empty values and unknown names."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError
from openmemory.settings import Settings, Source, describe, load
from openmemory.settings.catalogue import catalogue

Wrong = Callable[..., str]


def shown(settings: Settings) -> dict[str, tuple[str, Source]]:
    return {row.name: (row.value, row.source) for row in describe(settings)}


def test_the_environment_comes_before_the_file_and_the_file_before_the_default(folder: Path) -> None:
    (folder / ".env").write_text("OM_PORT=1001\nOM_PG_POOL_MAX=7\n")

    settings = load(environ={"OM_PORT": "1002"})

    assert (settings.server.port, settings.database.pool_max, settings.database.pool_idle_s) == (1002, 7, 30)
    rows = shown(settings)
    assert rows["OM_PORT"] == ("1002", Source.ENVIRONMENT)
    assert rows["OM_PG_POOL_MAX"] == ("7", Source.FILE)
    assert rows["OM_PG_POOL_IDLE_S"] == ("30", Source.DEFAULT)


def test_the_process_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OM_PORT", "1003")

    assert load().server.port == 1003


def test_a_file_that_is_named_is_read_instead_of_the_one_at_hand(folder: Path) -> None:
    (folder / ".env").write_text("OM_PORT=1001\nOM_PG_POOL_MAX=7\n")
    named = folder / "production.env"
    named.write_text("OM_PORT=1004\n")

    settings = load(named, {})

    assert (settings.file, settings.server.port, settings.database.pool_max) == (named, 1004, 20)


def test_a_file_that_is_named_and_missing_stops_the_start(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.env cannot be read: No such file"):
        load(folder / "missing.env", {})


def test_a_folder_called_like_the_file_is_no_file(folder: Path) -> None:
    (folder / ".env").mkdir()

    assert load(environ={}).file is None


def test_the_file_is_read_as_dotenv_and_a_dollar_means_nothing(folder: Path) -> None:
    (folder / ".env").write_text(
        "\ufeff# ours\n\nexport OM_PG_HOST = db # the host\nOM_PG_PASSWORD='pa${HOME}$$ #1'\nOM_PG_DB=\"a b\"\n"
    )

    keywords = load(environ={}).database.owner_login.keywords

    assert (keywords["host"], keywords["password"], keywords["dbname"]) == ("db", "pa${HOME}$$ #1", "a b")


def test_a_line_that_cannot_be_read_is_named_but_not_shown(folder: Path) -> None:
    (folder / ".env").write_text("OM_PORT=1001\nOM_API_KEY='hush\n")

    with pytest.raises(ConfigurationError, match="line 2: write NAME=value") as raised:
        load(environ={})

    assert "hush" not in str(raised.value)


def test_a_file_that_is_not_text_stops_the_start(folder: Path) -> None:
    (folder / ".env").write_bytes(b"OM_PG_DB=\xff\n")

    with pytest.raises(ConfigurationError, match="it is not UTF-8"):
        load(environ={})


MAY_BE_EMPTY = {name for name, setting in catalogue().items() if setting.optional} - {"OM_API_KEY", "OM_ADMIN_KEY"}


@pytest.mark.parametrize("name", sorted(MAY_BE_EMPTY))
def test_an_empty_value_is_none_where_there_may_be_none(name: str) -> None:
    settings = load(environ={name: ""})

    assert shown(settings)[name] == ("", Source.DEFAULT)


@pytest.mark.parametrize("name", [name for name, setting in catalogue().items() if not setting.optional])
def test_an_empty_value_is_wrong_where_there_must_be_one(wrong: Wrong, name: str) -> None:
    assert wrong(**{name: ""}).startswith(f"{name}='' (environment)")


def test_an_empty_value_in_the_environment_leaves_the_files(folder: Path) -> None:
    (folder / ".env").write_text("OM_TENANT=acme\n")

    assert load(environ={"OM_TENANT": ""}).access.tenant == "acme"


def test_a_bare_name_in_the_file_is_an_empty_value(folder: Path) -> None:
    (folder / ".env").write_text("OM_TENANT\n")

    assert load(environ={}).access.tenant is None


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("OM_PG_HOSTS", "OM_PG_HOST"),
        ("OM_PGVECTOR_DISTANZ", "OM_PGVECTOR_DISTANCE"),
        ("OM_Port", "OM_PORT"),
        ("OM_VECDIM", "OM_VEC_DIM"),
    ],
)
def test_an_unknown_name_is_a_warning_that_names_the_nearest(name: str, nearest: str) -> None:
    (warning,) = load(environ={name: "1"}).warnings

    assert warning.startswith(f"{name} (environment) is not a setting")
    assert warning.endswith(f"the nearest is {nearest}")


@pytest.mark.parametrize("name", ["OM_DB_PATH", "OM_MIN_SCORE", "OM_KEYWORD_BOOST", "OM_QDRANT_URL", "OM_PG_SSL_CA"])
def test_a_setting_that_only_upstream_has_does_not_stop_the_start(folder: Path, name: str) -> None:
    (folder / ".env").write_text(f"{name}=x\n")

    (warning,) = load(environ={}).warnings

    assert f"{name} (file)" in warning


@pytest.mark.parametrize("name", ["OM_TEST_DSN", "PGHOST", "OMEGA", "PATH"])
def test_names_that_are_no_settings_of_ours_pass_without_a_word(name: str) -> None:
    assert load(environ={name: "x"}).warnings == ()
