"""What of an old database stands in the way of its upgrade, told before anything is done."""

from typing import TYPE_CHECKING

from openmemory.errors import ConfigurationError

if TYPE_CHECKING:
    from openmemory.cli.upgrade.wanted import Old
    from openmemory.postgres.upgrade.found import Found


def refuse_other_names(old: "Old", found: "Found") -> None:
    """Raise ConfigurationError where the tables of an old database have other names than the settings say."""
    if "memories" in found.rows and not found.lookalikes.get("vectors"):
        return
    settings = {"memories": ("OM_PG_TABLE", old.names.memories), "vectors": ("OM_VECTOR_TABLE", old.names.vectors)}
    missing = ", ".join(f"{name} ({setting})" for what, (setting, name) in settings.items() if what not in found.rows)
    alike = [f"{setting}={name}" for what, (setting, _) in settings.items() for name in found.lookalikes.get(what, ())]
    raise ConfigurationError(
        f"schema {found.schema} has tables of an older OpenMemory, but not {missing}. Nothing was changed. "
        + (f"By their columns it may be {' '.join(alike)}" if alike else "Set them to the names of its tables")
        + ", or OM_PG_SCHEMA to where they are"
    )


def refuse_taken(found: "Found") -> None:
    """Raise ConfigurationError where something else has a name that the new tables need."""
    from openmemory.postgres.upgrade.refusals import TAKEN

    if found.taken:
        raise ConfigurationError(f"{TAKEN.format(found.schema, ', '.join(found.taken))}. Nothing was changed")


def refuse_without_rights(old: "Old", found: "Found") -> None:
    """Raise ConfigurationError where an upgrade that is not begun lacks rights, with the statements that give them."""
    from openmemory.postgres.upgrade.refusals import LACKING, lacking_rights

    if not found.upgrade and (asked := lacking_rights(old.logins.owner, old.names)):
        raise ConfigurationError(LACKING.format("; ".join(asked)))


def refuse_doubles(found: "Found") -> None:
    """Raise ConfigurationError where two old rows would be one new one: which of them stays is the owner's to say."""
    for what, (count, example) in found.twice.items():
        key = "id and sector" if what == "vectors" else "id"
        raise ConfigurationError(
            f"{count:,} ids of {what} are there more than once, such as {example}: the same {key}, if in another case,"
            " without hyphens or of another tenant. Nothing was changed. Delete or rename all but one of each, and run"
            " this again"
        )
