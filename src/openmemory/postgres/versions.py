"""Which PostgreSQL and pgvector are new enough."""

from dataclasses import dataclass

from openmemory.errors import ConfigurationError

OLDEST_SERVER = 150000
OLDEST_PGVECTOR = (0, 8, 0)
SOUND_PGVECTOR = (0, 8, 4)


@dataclass(frozen=True, slots=True)
class Versions:
    """What the server runs, and who we are there."""

    server: int
    server_text: str
    pgvector: str | None
    login: str


def check_versions(versions: Versions) -> list[str]:
    """Return a warning for a pgvector with known faults; raise ConfigurationError if anything is too old."""
    if versions.server < OLDEST_SERVER:
        raise ConfigurationError(f"PostgreSQL is {versions.server_text}; 15 or newer is needed")
    if versions.pgvector is None:
        raise ConfigurationError("the extension vector is not in this database; run `openmemory migrate`")
    version = tuple(int(part) for part in versions.pgvector.split(".")[:3])
    if version < OLDEST_PGVECTOR:
        raise ConfigurationError(
            f"pgvector is {versions.pgvector}; 0.8.0 or newer is needed. Install it on the server, then run:"
            " ALTER EXTENSION vector UPDATE"
        )
    if version < SOUND_PGVECTOR:
        return [f"pgvector is {versions.pgvector}; 0.8.4 mends faults of its indexes: ALTER EXTENSION vector UPDATE"]
    return []
