"""What an upgrade is told, what it tells while it works, and what it found in the end."""

from dataclasses import dataclass

DEFAULT_TENANT = "default"
UNKNOWN_MODEL = "unknown"
SYNTHETIC_MODEL = "synthetic"
"""What made upstream's own vectors, without any model; no embedder here makes such."""

STEPS = (
    "001_enable_pgvector",
    "002_add_tenant_id",
    "003_convert_vectors_to_pgvector",
    "004_update_primary_keys",
    "005_create_indexes",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the owner decided before the first step; an upgrade that resumes keeps what it began with.

    `tenant` owns the rows that name none; with `tenant_from_user` each user becomes a tenant, and rows without a
    user stay with `tenant`. `batch_size` is in rows.
    """

    dimension: int
    tenant: str = DEFAULT_TENANT
    tenant_from_user: bool = False
    embedding_model: str = UNKNOWN_MODEL
    batch_size: int = 10_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is, in rows (or, for the build of an index, in whatever PostgreSQL counts)."""

    step: str
    doing: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Report:
    """What an upgrade did: rows per new table, what was set aside by reason and the id of one, what was left alone."""

    steps: tuple[str, ...]
    rows: dict[str, int]
    set_aside: dict[str, int]
    examples: dict[str, str]
    left_alone: tuple[str, ...]
