"""The parts of the documentation that the code knows better; `cog -r -I docs docs/reference/*.md` writes them."""

from collections.abc import Iterable

from openmemory.settings import Settings
from openmemory.settings.catalogue import Setting, catalogue, sections


def settings_tables() -> str:
    """Return a table of the settings for each section, in Markdown."""
    settings = catalogue().values()
    return "\n".join(
        f"## {Settings.model_fields[section].title}\n\n{_table(one for one in settings if one.section == section)}"
        for section in sections()
    )


def _table(settings: Iterable[Setting]) -> str:
    rows = (
        f"| `{setting.name}` | {_default(setting)} | {_sentence(setting.allowed)} | {setting.description} |\n"
        for setting in settings
    )
    return f"| Name | Default | Value | What it does |\n|---|---|---|---|\n{''.join(rows)}"


def _default(setting: Setting) -> str:
    value = setting.show(setting.default)
    return f"`{value}`" if value else setting.unset or "—"


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]
