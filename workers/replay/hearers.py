"""Hearers: the feed begins when each event that it causes has somebody who hears it.

A subscription gets only events that are published after a worker has declared its queue. Whether
the worker runs just now does not matter: then the queue collects.
"""

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from qt_events import BrokerUnreachableError, QtEventsError

if TYPE_CHECKING:
    from qt_events import CeleryEventBus

logger = logging.getLogger(__name__)

#: Seconds to wait for all of them, if a user does not say: the first start of a broker and of
#: workers on a busy machine takes a minute or two.
WAIT = 300.0
#: Seconds between two looks, and between two lines about them.
_LOOK, _NEWS = 1.0, 15.0
#: Subscriptions in a text.
_MAX_NAMED = 3


class NobodyHearsError(QtEventsError):
    """No worker has declared some of the subscriptions in time. Nothing was published."""

    exit_code: ClassVar[int] = 3


async def until_declared(
    bus: "CeleryEventBus", names: Sequence[str], timeout: float = WAIT
) -> None:
    """Wait until these subscriptions stand on the broker, and say so in the log.

    A broker that is away meanwhile is waited for as well.

    Args:
        bus: the broker, and the prefix of its queues.
        names: of lasting subscriptions.
        timeout: seconds.

    Raises:
        NobodyHearsError: some do not stand in time; the text names them.
        BrokerUnreachableError: there is no broker then.
    """
    deadline, told = monotonic() + timeout, -_NEWS
    while missing := await _missing(bus, names, deadline):
        if monotonic() >= deadline:
            raise NobodyHearsError(
                f"after {timeout:g} s no worker has declared {named(missing)}: start workers that "
                "serve all subscriptions, with this broker, and feed again. Nothing was published"
            )
        if monotonic() - told >= _NEWS:
            told = monotonic()
            logger.warning("waiting for a worker that declares %s", named(missing))
        await asyncio.sleep(_LOOK)
    if told > 0:
        logger.warning("all subscriptions are declared: the feed begins")


async def _missing(bus: "CeleryEventBus", names: Sequence[str], deadline: float) -> list[str]:
    from qt_events.rabbitmq.operating.undeclared import undeclared

    while True:
        try:
            return await asyncio.to_thread(undeclared, bus, names)
        except BrokerUnreachableError as error:
            if monotonic() >= deadline:
                raise
            logger.warning("%s; again in %g s", error, _LOOK)
            await asyncio.sleep(_LOOK)


def named(names: Sequence[str]) -> str:
    """Return some of the names, and how many more there are."""
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
