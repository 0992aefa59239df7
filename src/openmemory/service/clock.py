"""Time as an argument of the service."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the present, in UTC."""
    return datetime.now(UTC)
