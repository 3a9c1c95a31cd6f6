"""Publishes through a bus with a spool, several at a time, until it is killed or told to stop."""

import asyncio
import logging
import os
import sys

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Ledger

logging.basicConfig(level=logging.INFO, stream=sys.stdout)
bus = CeleryEventBus(os.environ["LOAD_URL"], spool=os.environ["LOAD_SPOOL"], spool_after=0.1)
ledger = Ledger.current()


async def publish() -> None:
    while not (ledger.folder / "stop").exists():
        await ledger.publish(bus, Event("load.spooled", payload={"n": 1}))
        await asyncio.sleep(0.01)


async def main() -> None:
    await ledger.publish(bus, Event("load.spooled", payload={"n": 1}))
    (ledger.folder / f"ready-{os.getpid()}").touch()
    await asyncio.gather(*(publish() for _ in range(5)))
    # The last one sends what the others have left.
    while bus.get_stats()["spool"]["state"] != "direct":  # noqa: ASYNC110
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main())
    bus.close()
