"""Store retry: asking the database again while it is away, where no bus would call a handler again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from workers.store import StoreUnavailableError

T = TypeVar("T")

logger = logging.getLogger(__name__)

PAUSE = 0.5  # seconds between two tries


async def until_available(ask: Callable[[], Awaitable[T]], timeout: float) -> T:
    """What `ask` gives, as soon as it does.

    Raises:
        StoreUnavailableError: the last one, after `timeout` seconds of them.
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
