"""Where the old tables, the new ones and the record of an upgrade lie, and how that is written into its SQL."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from psycopg import sql

from openmemory.postgres.locks import Lock
from openmemory.postgres.statements import Names, blocks, schemas_of_upgrade
from openmemory.postgres.upgrade.plan import Plan

LOCK_TIMEOUT = "10s"
OWN_TABLES = ("openmemory_upgrade", "openmemory_vector_quarantine", "openmemory_row_quarantine")
"""What an upgrade makes in the settings' schema beside the new tables, and leaves there."""


@dataclass(frozen=True)
class Layout:
    """The schemas of an upgrade: the settings' own, one that is filled, and one that keeps the old tables."""

    names: Names
    plan: Plan

    @property
    def filled(self) -> str:
        """Return the schema in which the new tables are filled."""
        return schemas_of_upgrade(self.names.schema)[0]

    @property
    def kept(self) -> str:
        """Return the schema that keeps the old tables after the exchange."""
        return schemas_of_upgrade(self.names.schema)[1]

    @property
    def staging(self) -> Names:
        """Return the names of the new tables while they are filled."""
        return replace(self.names, schema=self.filled, dimension=self.plan.dimension)

    @property
    def lifted(self) -> Names:
        """Return the names of the new tables after the exchange."""
        return replace(self.names, dimension=self.plan.dimension)

    @property
    def old_tables(self) -> dict[str, str]:
        """Return the old tables by what they hold."""
        return {
            "memories": self.names.memories,
            "vectors": self.names.vectors,
            "waypoints": "openmemory_waypoints",
            "users": "openmemory_users",
            "facts": "temporal_facts",
        }

    def block(self, step: str, name: str) -> str:
        """Return one block of a step's file, ready to run."""
        return self.render(blocks(f"upgrade/{step}")[name])

    def blocks(self, step: str) -> dict[str, str]:
        """Return the blocks of a step's file in order, ready to run."""
        return {name: self.render(template) for name, template in blocks(f"upgrade/{step}").items()}

    def render(self, template: str, more: Mapping[str, str] | None = None) -> str:
        """Return `template` with the names and the plan's decisions in it, and with `more` as it is."""
        return self.staging.render(template, {**self._substitutes, **(more or {})})

    def render_with_params(self, template: str) -> bytes:
        """Return `template` so rendered for a call that binds parameters, where a % in a name is doubled."""
        return self.staging.render_with_params(template, self._substitutes)

    @staticmethod
    def literal(value: str) -> str:
        """Return a text as SQL writes it."""
        return _literal(value)

    @cached_property
    def _substitutes(self) -> dict[str, str]:
        places = {"final": self.names.schema, "staging": self.filled, "kept": self.kept}
        return {
            **{name: sql.Identifier(schema).as_string() for name, schema in places.items()},
            **{f"{name}_text": _literal(schema) for name, schema in places.items()},
            **{f"old_{what}": sql.Identifier(self.filled, f"old_{what}").as_string() for what in self.old_tables},
            "old_owners": sql.Identifier(self.filled, "old_owners").as_string(),
            "old_owners_text": _literal(sql.Identifier(self.filled, "old_owners").as_string()),
            "old_sectors": sql.Identifier(self.filled, "old_sectors").as_string(),
            "old_sectors_text": _literal(sql.Identifier(self.filled, "old_sectors").as_string()),
            **{f"old_{what}_table": self.names.table(table) for what, table in self.old_tables.items()},
            **{f"old_{what}_text": _literal(self.names.table(table)) for what, table in self.old_tables.items()},
            **{f"kept_{what}": sql.Identifier(self.kept, table).as_string() for what, table in self.old_tables.items()},
            **self._lifted,
            "textrange_text": _literal(self.staging.render("{textrange}")),
            **{table.removeprefix("openmemory_"): self.names.table(table) for table in OWN_TABLES},
            **{f"{table.removeprefix('openmemory_')}_text": _literal(self.names.table(table)) for table in OWN_TABLES},
            "tenant": _literal(self.plan.tenant),
            "tenant_from_user": str(self.plan.tenant_from_user).lower(),
            "embedding_model": _literal(self.plan.embedding_model),
            "staged_memories_text": _literal(self.staging.render("{memories}")),
            "staged_vectors_text": _literal(self.staging.render("{vectors}")),
            "memories_text": _literal(self.names.memories),
            "vectors_text": _literal(self.names.vectors),
            "role_text": _literal(self.names.app_role),
            "app_role_text": _literal(self.names.render("{app_role}")),
            "lock_timeout": _literal(LOCK_TIMEOUT),
            "lock": str(int(Lock.MIGRATE)),
            "batch_size": str(self.plan.batch_size),
        }

    @property
    def _lifted(self) -> dict[str, str]:
        """Return the names of what 005 moved into place."""
        own = ("memories", "vectors", "waypoints", "users", "temporal_facts", "idempotency", "tenants", "meta",
               "migrations", "faded", "textrange")  # fmt: skip
        return {f"lifted_{name}": self.names.render(f"{{{name}}}") for name in own}


def _literal(text: str) -> str:
    """Return a text as SQL writes it, also inside the body of a function, where two dollars may end the quotation."""
    if "$" not in text:
        return sql.Literal(text).as_string()
    escaped = text.replace("\\", "\\\\").replace("'", "''").replace("$", "\\x24")
    return f"E'{escaped}'"
