"""What the operator decides, read once at the start; only `app` and `cli` see it."""

from openmemory.settings.catalogue import SettingRow, describe
from openmemory.settings.database import DatabaseSettings, Login
from openmemory.settings.loading import load
from openmemory.settings.model import Settings, Source
from openmemory.settings.server import AccessSettings, LimitSettings, LoggingSettings, ServerSettings
from openmemory.settings.vectors import EmbeddingSettings, VectorSettings

__all__ = [
    "AccessSettings",
    "DatabaseSettings",
    "EmbeddingSettings",
    "LimitSettings",
    "LoggingSettings",
    "Login",
    "ServerSettings",
    "SettingRow",
    "Settings",
    "Source",
    "VectorSettings",
    "describe",
    "load",
]
