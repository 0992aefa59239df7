"""All settings in one value."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from openmemory.settings.database import DatabaseSettings
from openmemory.settings.kinds import Section
from openmemory.settings.rules import (
    Conflicting,
    access_conflicts,
    login_conflicts,
    table_conflicts,
    vector_conflicts,
)
from openmemory.settings.server import AccessSettings, LimitSettings, LoggingSettings, ServerSettings
from openmemory.settings.vectors import EmbeddingSettings, VectorSettings


class Source(StrEnum):
    """Where a value comes from."""

    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


class Settings(Section):
    """All settings, one section a concern, with where each value comes from.

    `sources` has the names that were set; `file` is the file that was read, if there was one; `warnings` are for the
    operator to read and do not stop the start.
    """

    server: ServerSettings = Field(default_factory=ServerSettings, title="Where the server listens")
    access: AccessSettings = Field(default_factory=AccessSettings, title="Who is asking")
    limits: LimitSettings = Field(default_factory=LimitSettings, title="How much a request and a tenant may take")
    database: DatabaseSettings = Field(default_factory=DatabaseSettings, title="The database")
    embeddings: EmbeddingSettings = Field(default_factory=EmbeddingSettings, title="Embeddings")
    vectors: VectorSettings = Field(default_factory=VectorSettings, title="Vectors and their index")
    logging: LoggingSettings = Field(default_factory=LoggingSettings, title="The log")

    file: Path | None = None
    sources: Mapping[str, Source] = Field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _refuse_conflicts(self) -> Self:
        conflicts = (
            *access_conflicts(self.server, self.access),
            *login_conflicts(self.database),
            *table_conflicts(self.database),
            *vector_conflicts(self.embeddings, self.vectors),
        )
        if conflicts:
            raise Conflicting(conflicts)
        return self
