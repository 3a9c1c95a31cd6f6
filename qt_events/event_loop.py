"""The event loop that this runs on: asyncio's, or an error that says what to do."""

import asyncio

from qt_events.errors import NotSupportedError


def running_loop() -> asyncio.AbstractEventLoop:
    """Return asyncio's running loop.

    Raises:
        NotSupportedError: none runs here, for example because trio does.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise NotSupportedError(
            "no asyncio event loop runs here, and a bus needs one: start the program by "
            "asyncio.run(...), anyio's with backend='asyncio'. Under trio, run the bus by "
            "asyncio.run in a thread, and publish by trio.to_thread.run_sync(bus.publish_sync, "
            "event)"
        ) from None
