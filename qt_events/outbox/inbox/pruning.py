"""Pruning: notes are removed when they are older than the window, beside the deliveries."""

import logging
from itertools import count

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from qt_events.outbox.inbox.notes import forgetting

logger = logging.getLogger("qt_events")

#: Deliveries of a process between two looks; each look removes more than they have added.
EVERY = 500
MOST = 1_000
_FAILED = "old notes of %s are not removed now: %s"


class Pruning:
    """Remover of one subscription's old notes, in transactions of its own."""

    def __init__(self, subscription: str, window: float) -> None:
        self._subscription = subscription
        self._removal = forgetting(subscription, window, MOST)
        self._deliveries = count()

    def is_due(self) -> bool:
        """Count a delivery. Return True if notes are to be removed after it."""
        return next(self._deliveries) % EVERY == 0

    def prune(self, engine: sa.Engine) -> None:
        """Remove some. The event that was handled is none the worse for an error."""
        try:
            with engine.begin() as connection:
                connection.execute(self._removal)
        except sa.exc.SQLAlchemyError as error:
            logger.warning(_FAILED, self._subscription, error)

    async def prune_async(self, engine: AsyncEngine) -> None:
        """Do the same by an AsyncEngine."""
        try:
            async with engine.begin() as connection:
                await connection.execute(self._removal)
        except sa.exc.SQLAlchemyError as error:
            logger.warning(_FAILED, self._subscription, error)
