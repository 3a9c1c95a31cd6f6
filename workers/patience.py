"""Patience: asking the database again while it is away, for those who are no handler that the bus would call again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from workers.store import StoreUnavailableError

T = TypeVar("T")

logger = logging.getLogger(__name__)

PAUSE = 0.5  # seconds between two tries


async def patiently(ask: Callable[[], Awaitable[T]], patience: float) -> T:
    """What `ask` gives, as soon as it does.

    Raises:
        StoreUnavailableError: the last one, after `patience` seconds of them.
    """
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        try:
            return await ask()
        except StoreUnavailableError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            logger.warning("%s; again in %g s", error, PAUSE)
            await asyncio.sleep(PAUSE)
