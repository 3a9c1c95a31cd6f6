"""RelayThread: a relay on an event loop in a thread of its own, for programs without a loop."""

import asyncio
import threading
from concurrent.futures import Future
from typing import Self

from qt_events.errors import BusStateError
from qt_events.outbox.relaying.relay import Relay

_NAME = "qt_events-relay"


class RelayThread:
    """Runs a relay until `stop`; a context, or between `start` and `stop`."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self._thread: threading.Thread | None = None
        self._begun: Future[asyncio.AbstractEventLoop] = Future()

    def start(self) -> Self:
        """Begin, and return. A database or a broker that is away is waited for.

        Raises:
            BusStateError: it was started already.
            OutboxError: the engine or the tables are wrong.
        """
        if self._thread is not None:
            raise BusStateError("this relay has run already: make another one")
        # A worker's or a server's process ends without waiting for it.
        self._thread = threading.Thread(target=self._run, name=_NAME, daemon=True)
        self._thread.start()
        self._begun.result()
        return self

    def stop(self) -> None:
        """Send nothing more; what is being sent has some seconds."""
        if self._thread is None or self._thread is threading.current_thread():
            return
        if self._thread.is_alive():
            self._begun.result().call_soon_threadsafe(self.relay.stop)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._relay())
        except BaseException as error:
            if self._begun.done():
                raise
            self._begun.set_exception(error)

    async def _relay(self) -> None:
        async with self.relay:
            self._begun.set_result(asyncio.get_running_loop())
            await self.relay.stopped()
