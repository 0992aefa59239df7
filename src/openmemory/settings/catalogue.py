"""Every setting with its name, and what it is in words: for `openmemory settings`, the reference and error messages."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Final, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from openmemory.settings.kinds import Allowed, Masked, Section, Unset
from openmemory.settings.masking import MASK, mask_text
from openmemory.settings.model import Settings, Source

KNOWN_ELSEWHERE: Final = frozenset({"OM_TEST_DSN"})  # the tests' database

_UNITS: Final = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its name, and the section and the field that hold its value."""

    name: str
    section: str
    field: str
    info: FieldInfo

    def value(self, settings: Settings) -> object:
        """Return its value in `settings`."""
        return getattr(getattr(settings, self.section), self.field)

    @property
    def default(self) -> object:
        """Return what holds when it is not set."""
        return self.info.get_default(call_default_factory=False)

    @property
    def optional(self) -> bool:
        """Return whether it may have no value, so that an empty one means none."""
        return self.default in (None, ())

    @property
    def secret(self) -> bool:
        """Return whether its value must not be shown."""
        return SecretStr in self._marks()

    @property
    def description(self) -> str:
        """Return what it does."""
        return self.info.description or ""

    @property
    def unset(self) -> str:
        """Return in words what holds when it has no value; "" if nothing does."""
        return next((mark.text for mark in self._marks() if isinstance(mark, Unset)), "")

    @property
    def allowed(self) -> str:
        """Return in words what its value must be."""
        marks = list(self._marks())
        words = [_words(mark) for mark in marks if get_origin(mark) is Literal]
        words += ["`true` or `false`"] if bool in marks else ["a whole number"] if int in marks else []
        words += [mark.text for mark in marks if isinstance(mark, Allowed)]
        low = next((int(str(mark.ge)) for mark in marks if isinstance(mark, Ge)), None)
        high = next((int(str(mark.le)) for mark in marks if isinstance(mark, Le)), None)
        bounds = "" if low is None or high is None else f", {self._shown(low)} to {self._shown(high)}"
        return words[0] + bounds

    def show(self, value: object) -> str:
        """Return `value` as an operator would write it, secrets masked; "" for none."""
        if isinstance(value, SecretStr):
            mask = next((mark.mask for mark in self._marks() if isinstance(mark, Masked)), None)
            return mask(value.get_secret_value()) if mask else MASK
        return mask_text(self._shown(value))

    def _shown(self, value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, tuple):
            return ", ".join(value)
        if isinstance(value, int) and ByteSize in self._marks():
            return next((f"{value // size}{unit}" for unit, size in _UNITS if value % size == 0), str(value))
        return str(value)

    def _marks(self) -> Iterator[object]:
        yield from self.info.metadata[::-1]
        yield from _inside(self.info.annotation)


@cache
def catalogue() -> Mapping[str, Setting]:
    """Return all settings by name, in the order of their sections."""
    return {
        str(info.validation_alias): Setting(str(info.validation_alias), section, field, info)
        for section, model in sections().items()
        for field, info in model.model_fields.items()
    }


def sections() -> Mapping[str, type[Section]]:
    """Return the class of each section by the name of its field in Settings."""
    kinds = {name: info.annotation for name, info in Settings.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Section)}


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A line of `openmemory settings`: a value without secrets, "" for none, and where it comes from."""

    name: str
    value: str
    source: Source


def describe(settings: Settings) -> list[SettingRow]:
    """Return every setting with its value, secrets masked, and where the value comes from."""
    return [
        SettingRow(name, setting.show(setting.value(settings)), settings.sources.get(name, Source.DEFAULT))
        for name, setting in catalogue().items()
    ]


def _inside(annotation: object) -> Iterator[object]:
    """Yield the types and the marks that `annotation` is made of, the outermost mark first."""
    if get_origin(annotation) is Annotated:
        kind, *marks = get_args(annotation)
        yield from marks[::-1]
        yield from _inside(kind)
    elif get_origin(annotation) is Literal:
        yield annotation
    elif parts := get_args(annotation):
        for part in parts:
            yield from _inside(part)
    else:
        yield annotation


def _words(literal: object) -> str:
    *others, last = (f"`{value}`" for value in get_args(literal))
    return f"{', '.join(others)} or {last}" if others else last
