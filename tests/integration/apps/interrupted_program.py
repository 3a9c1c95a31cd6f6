"""Program that serves a bus by run_forever() until a handler ends it: `python -m ...`."""

import asyncio
import os
import sys
from typing import Any

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import record

bus = CeleryEventBus(os.environ["FLEET_URL"], grace=float(os.environ.get("FLEET_GRACE", "60")))
background: list[asyncio.Task[None]] = []


async def interrupt(event: Event[Any]) -> None:
    record("ends", event)
    raise KeyboardInterrupt


def interrupt_in_thread(event: Event[Any]) -> None:
    record("ends", event)
    raise KeyboardInterrupt


async def leave_in_background(event: Event[Any]) -> None:
    async def leave() -> None:
        sys.exit(3)

    record("ends", event)
    background.append(asyncio.create_task(leave()))
    await asyncio.Event().wait()


async def stop_and_go_on(event: Event[Any]) -> None:
    record("ends", event)
    bus.stop()
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            record("swallowed", event)


HANDLERS = {
    "stop": stop_and_go_on,
    "interrupt": interrupt,
    "in_thread": interrupt_in_thread,
    "task": leave_in_background,
}


async def main() -> None:
    await bus.publish(Event("happened"))
    await bus.run_forever()


if __name__ == "__main__":
    bus.subscribe("happened", HANDLERS[os.environ["ENDS_BY"]], name="handler")
    asyncio.run(main())
