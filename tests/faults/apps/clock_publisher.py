"""Publishes until a file `stop` is there, in a process whose wall clock jumps."""

import asyncio
import os

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Ledger, Load
from tests.support.waiting import until


async def main() -> None:
    ledger = Ledger.current()
    bus = CeleryEventBus(
        os.environ["LOAD_URL"], publish_timeout=float(os.environ["LOAD_PUBLISH_TIMEOUT"])
    )
    async with Load(bus, ledger, in_flight=20, rate=60):
        await until((ledger.folder / "stop").exists, 300, "being told to stop")
    bus.close()


if __name__ == "__main__":
    asyncio.run(main())
