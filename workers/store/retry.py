"""Retry for callers of the database that are no handlers: no bus would call them again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from workers.store import StoreUnavailableError

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Seconds between two attempts.
PAUSE = 0.5


async def until_available(ask: Callable[[], Awaitable[T]], timeout: float) -> T:
    """Return the result of `ask` as soon as the database is available.

    Raises:
        StoreUnavailableError: it is still away after `timeout` seconds.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        try:
            return await ask()
        except StoreUnavailableError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            logger.warning("%s; again in %g s", error, PAUSE)
            await asyncio.sleep(PAUSE)
