"""What of an old database stands in the way of its upgrade, told before anything is done."""

from collections.abc import Mapping

from openmemory.errors import ConfigurationError
from openmemory.postgres import shared_indexes
from openmemory.postgres.limits import DIMENSION_MAX
from openmemory.postgres.shared_indexes import IndexChoice
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.found import Found
from openmemory.postgres.upgrade.refusals import LACKING, TAKEN, lacking_rights, refuse_unfit_tenants

_LISTED = 10


def refuse_obstacles(conninfo: Mapping[str, str], names: Names, found: Found, index: IndexChoice) -> None:
    """Raise ConfigurationError where an upgrade to `names` could not be finished, with the way out.

    Asked of `conninfo` are the rights of its login; all else is in what was `found`.
    """
    if not found.upgrade:
        _refuse_dimension(found, names.dimension)
    shared_indexes.check(names, index)
    _refuse_other_names(found, names)
    _refuse_doubles(found)
    if found.taken:
        raise ConfigurationError(f"{TAKEN.format(found.schema, ', '.join(found.taken))}. Nothing was changed")
    refuse_unfit_tenants(found.unfit_tenants)
    _refuse_joined_users(found)
    if not found.upgrade and (asked := lacking_rights(conninfo, names)):
        raise ConfigurationError(LACKING.format("; ".join(asked)))


def refuse_read_only(found: Found) -> None:
    """Raise ConfigurationError where nothing can be written, with the way out."""
    if found.read_only:
        raise ConfigurationError(f"{found.read_only}. Nothing was changed")


def _refuse_dimension(found: Found, dimension: int) -> None:
    """Raise ConfigurationError for a dimension that no server takes, or that no vector has where others could come."""
    if dimension > DIMENSION_MAX:
        raise ConfigurationError(
            f"the old vectors have {dimension:,} dimensions, and a server takes at most {DIMENSION_MAX:,}. Say how many"
            " the new ones have (--dim N): old vectors of another length are set aside, and `openmemory reembed"
            " --quarantined` makes them anew. Nothing was changed"
        )
    if dimension not in found.dimensions and any(size <= DIMENSION_MAX for size in found.dimensions):
        listed = ", ".join(map(str, found.dimensions))
        raise ConfigurationError(f"--dim {dimension}: no vector in the database has that many; there are {listed}")


def _refuse_other_names(found: Found, names: Names) -> None:
    """Raise ConfigurationError where the tables of an old database have other names than the settings say."""
    if "memories" in found.rows and not found.lookalikes.get("vectors"):
        return
    settings = {"memories": ("OM_PG_TABLE", names.memories), "vectors": ("OM_VECTOR_TABLE", names.vectors)}
    missing = ", ".join(f"{name} ({setting})" for what, (setting, name) in settings.items() if what not in found.rows)
    alike = [f"{setting}={name}" for what, (setting, _) in settings.items() for name in found.lookalikes.get(what, ())]
    raise ConfigurationError(
        f"schema {found.schema} has tables of an older OpenMemory, but not {missing}. Nothing was changed. "
        + (f"By their columns it may be {' '.join(alike)}" if alike else "Set them to the names of its tables")
        + ", or OM_PG_SCHEMA to where they are"
    )


def _refuse_joined_users(found: Found) -> None:
    """Raise ConfigurationError where a user would become a tenant that others have as their own."""
    if found.joined_users:
        listed = ", ".join(map(repr, found.joined_users[:_LISTED])) + (", …" if found.joined_users[_LISTED:] else "")
        raise ConfigurationError(
            "--tenant-from user_id would make tenants of users whose names rows of others have as their tenant, and"
            f" each would see the other's: {listed} ({len(found.joined_users):,} in all). Nothing was changed. Give"
            " one of the two another name (UPDATE … SET tenant_id = … in each table that has it), or leave"
            " --tenant-from out, and run this again"
        )


def _refuse_doubles(found: Found) -> None:
    """Raise ConfigurationError where two old rows would be one new one: which of them stays is the owner's to say."""
    for what, (count, example) in found.twice.items():
        key = "id and sector" if what == "vectors" else "id"
        raise ConfigurationError(
            f"{count:,} ids of {what} are there more than once, such as {example}: the same {key}, if in another case,"
            " without hyphens or of another tenant. Nothing was changed. Delete or rename all but one of each, and run"
            " this again"
        )
