"""Reading the settings: the environment first, then a file."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from openmemory.errors import ConfigurationError
from openmemory.settings.catalogue import KNOWN_ELSEWHERE, Setting, catalogue
from openmemory.settings.masking import mask_text
from openmemory.settings.model import Settings, Source
from openmemory.settings.rules import Conflict, Conflicting, without_effect

PREFIX: Final = "OM_"
SHOWN_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True)
class Found:
    """A value as it was written, and where."""

    text: str = field(repr=False)
    source: Source


_KEYS: Final = frozenset({"OM_API_KEY", "OM_ADMIN_KEY"})


def load(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the environment, and for what it leaves open those of `config`, a dotenv file.

    Without `config` the file is `.env` in the working folder, if there is one. Raises ConfigurationError that names
    everything that is wrong, without secrets.
    """
    file = config if config is not None else _file_at_hand()
    environment = os.environ if environ is None else environ
    given = [*_read(file), *_ours(environment.items(), Source.ENVIRONMENT)]
    known = catalogue()
    found = {name: value for name, value in given if name in known and (value.text or not known[name].optional)}
    # A key that is empty is a secret that did not arrive; taken for none, it would leave the door open.
    found = {name: value for name, value in given if name in _KEYS} | found
    settings = _checked(found, file)
    warnings = (
        *(_unknown(name, value) for name, value in given if name not in known and name not in KNOWN_ELSEWHERE),
        *without_effect(settings.database, settings.access, settings.embeddings, settings.vectors, found.keys()),
    )
    return settings.model_copy(update={"warnings": warnings})


def _file_at_hand() -> Path | None:
    file = Path(".env")
    return file if file.is_file() else None


def _read(file: Path | None) -> Iterator[tuple[str, Found]]:
    """Return the settings of `file` as they stand there: `$` and `${…}` mean nothing."""
    if file is None:
        return iter(())
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"the file {file} cannot be read: {reason}") from error
    lines = list(parse_stream(StringIO(text)))
    if bad := [str(line.original.line) for line in lines if line.error]:
        raise ConfigurationError(f"{file}, line {', '.join(bad)}: write NAME=value, with quotes in pairs")
    return _ours(((line.key, line.value or "") for line in lines if line.key), Source.FILE)


def _ours(pairs: Iterable[tuple[str, str]], source: Source) -> Iterator[tuple[str, Found]]:
    return ((name, Found(text, source)) for name, text in pairs if name.startswith(PREFIX))


def _checked(found: Mapping[str, Found], file: Path | None) -> Settings:
    """Return the settings, or raise everything that is wrong: bad values, then what the good ones contradict."""
    try:
        return _build(found, file)
    except ValidationError as error:
        wrong = {str(details["loc"][1]): details for details in error.errors() if details["loc"]}
        good = {name: value for name, value in found.items() if name not in wrong}
        lines = [_line(catalogue()[name], found[name], file, details) for name, details in wrong.items()]
        lines += [conflict.message for conflict in _conflicts(good) if wrong.keys().isdisjoint(conflict.names)]
        raise ConfigurationError("\n".join(lines)) from error


def _build(found: Mapping[str, Found], file: Path | None = None) -> Settings:
    values: dict[str, dict[str, str]] = {}
    for name, value in found.items():
        values.setdefault(catalogue()[name].section, {})[name] = value.text
    sources = {name: value.source for name, value in found.items()}
    return Settings.model_validate({**values, "sources": sources, "file": file})


def _conflicts(good: Mapping[str, Found]) -> tuple[Conflict, ...]:
    try:
        _build(good)
    except ValidationError as error:
        (conflicting,) = (details["ctx"]["error"] for details in error.errors())
        return conflicting.conflicts if isinstance(conflicting, Conflicting) else ()
    return ()


def _line(setting: Setting, value: Found, file: Path | None, details: ErrorDetails) -> str:
    place = str(file) if value.source is Source.FILE else value.source
    shown = "" if setting.secret else f"={mask_text(value.text)[:SHOWN_CHARACTERS]!r}"
    must_be = f"must be {setting.allowed.replace('`', '')}"
    match details["type"]:
        case "refused":
            problem = details["msg"]
        case "value_error":
            problem = f"{details['ctx']['error']}; {must_be}"
        case _:
            problem = must_be
    return f"{setting.name}{shown} ({place}) {problem}"


def _unknown(name: str, value: Found) -> str:
    (nearest,) = get_close_matches(name.upper(), catalogue(), n=1, cutoff=0)
    return f"{name} ({value.source}) is not a setting of this version and has no effect; the nearest is {nearest}"
