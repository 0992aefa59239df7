"""Background work of a server, for as long as it serves."""

import asyncio
import random
from collections.abc import Callable

import structlog

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.service.idempotency import Idempotency
from openmemory.service.tenants import Tenants

log = structlog.get_logger()

_LOOK_EVERY_S = 2.0
_FORGET_EVERY_S = 6 * 3600.0


async def keep_alive(tenants: Tenants, revive: Callable[[], None], every_s: float = _LOOK_EVERY_S) -> None:
    """Look every few seconds whether the embedded server answers, and start it again if it has died."""
    was_there = True
    while True:
        await asyncio.sleep(every_s)
        try:
            is_there = await _is_there(tenants, revive)
            if is_there and not was_there:
                log.info("database.back")
            was_there = is_there
        except Exception as error:  # what fails now may not the next time
            log.error("database.not_looked_after", reason=type(error).__name__)


async def _is_there(tenants: Tenants, revive: Callable[[], None]) -> bool:
    try:
        await tenants.ping()
    except DatabaseUnavailable as error:
        log.error("database.away", reason=error.detail)
        try:
            await asyncio.to_thread(revive)
        except ConfigurationError as refused:
            log.error("database.not_revived", reason=refused.detail)
        return False
    return True


async def forget_keys(idempotency: Idempotency, every_s: float = _FORGET_EVERY_S) -> None:
    """Delete expired Idempotency-Keys several times a day, first at a random time, which servers do not share."""
    await asyncio.sleep(random.uniform(0, every_s))  # noqa: S311 -- no secret
    while True:
        try:
            await idempotency.forget_expired()
        except Exception as error:  # what fails now may not the next time
            log.warning("idempotency.keys_not_forgotten", reason=type(error).__name__)
        await asyncio.sleep(every_s)
