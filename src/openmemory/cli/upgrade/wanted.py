"""The options of an upgrade, and its database."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from openmemory.app import Logins
    from openmemory.postgres.statements import Names
    from openmemory.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options of an upgrade on the command line; None was not given."""

    yes: bool = False
    as_json: bool = False
    dry_run: bool = False
    tenant: str | None = None
    tenant_from: str | None = None
    dim: int | None = None
    embedding_model: str | None = None
    batch_size: int | None = None
    backup: Path | None = None
    backup_tables: bool = False
    step: str | None = None
    drop_bytea: bool = False
    down: bool = False
    ignore_sessions: bool = False

    def check(self) -> None:
        """Raise typer.BadParameter where options contradict each other."""
        if self.down and self.drop_bytea:
            raise typer.BadParameter("goes back to the old tables, which --drop-bytea drops", param_hint="--down")
        for way in ("down", "drop_bytea"):
            others = [flag for flag in self.of_an_upgrade if flag != "--yes"]
            if getattr(self, way) and others:
                flag = f"--{way.replace('_', '-')}"
                raise typer.BadParameter(f"is for an upgrade; leave it out with {flag}", param_hint=others[0])
        if self.backup_tables and self.backup is None:
            raise typer.BadParameter("says what goes into a backup; add --backup FILE", param_hint="--backup-tables")

    @property
    def of_an_upgrade(self) -> list[str]:
        """Return the given options that are for an upgrade only."""
        names = ("dry_run", "tenant", "tenant_from", "dim", "embedding_model", "batch_size", "backup", "step")
        return [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) not in (None, False)]


@dataclass(frozen=True, slots=True)
class Old:
    """The database of an upgrade."""

    settings: "Settings"
    logins: "Logins"
    names: "Names"
    recorded: Mapping[str, str]
