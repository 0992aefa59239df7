"""The backup before an upgrade."""

from pathlib import Path
from typing import TYPE_CHECKING

from openmemory.cli.backing import warn_of_others
from openmemory.cli.printing import console, progress, size
from openmemory.errors import ConfigurationError

if TYPE_CHECKING:
    from openmemory.cli.upgrade.wanted import Old, Wanted


def back_up(old: "Old", wanted: "Wanted") -> None:
    """Make the backup that is wanted, or check the one that an upgrade under way was begun with.

    A backup made just before the upgrade began counts, so that the same command can go on where it was.
    """
    if wanted.backup is None:
        return
    from openmemory.postgres.backup import dump, others, our_tables

    if old.recorded:
        _check_backup(old, wanted.backup)
        return
    only = our_tables(old.logins.owner, old.names) if wanted.backup_tables else None
    with progress("backing up") as on_event:
        rows = dump(old.logins.owner, wanted.backup, old.settings.database.pg_dump, only, on_event, keep_same=True)
    warn_of_others([] if wanted.backup_tables else others(old.logins.owner, old.names))
    held = size(wanted.backup.stat().st_size)
    console(stderr=wanted.as_json).print(
        f"{wanted.backup} holds {sum(rows.values()):,} rows of {len(rows)} tables ({held}), counted", soft_wrap=True
    )


def _check_backup(old: "Old", file: Path) -> None:
    """Raise ConfigurationError unless `file` has all rows of the old tables: a backup comes before an upgrade."""
    from openmemory.postgres.backup import read
    from openmemory.postgres.upgrade.look import old_rows

    if not file.exists():
        raise ConfigurationError(
            f"{file}: a backup is made before an upgrade begins, and this one has. Go on without --backup, or go back"
            " first (`openmemory migrate --down`) and begin anew with it"
        )
    with progress(f"counting what is in {file}") as on_event:
        held = read(file, old.settings.database.pg_dump, on_event).rows
    there = old_rows(old.logins.owner, old.names)
    if missing := [f"{held.get(name, 0):,} of {rows:,} rows of {name}" for name, rows in there.items()
                   if held.get(name, 0) != rows]:  # fmt: skip
        raise ConfigurationError(f"{file} is no backup of this database: it has {'; '.join(missing)}")
