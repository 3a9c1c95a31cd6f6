"""HistoryLoad: events for a recorder that is killed again and again, and what became of them."""

import asyncio
import os
import sys
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Self

from amqp.exceptions import NotFound

from qt_events.events.event import Event
from qt_events.history.store import every_page
from qt_events.history.stores.sql_store import SqlStore
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.channels import depth
from tests.support.fleet.forks import ForkedProcess, ForkingKeeper, fork_server
from tests.support.waiting import until_told

_PATIENCE = 100.0  # seconds
_IN_FLIGHT = 100  # publishes


@dataclass(frozen=True, slots=True)
class HistoryAccount:
    """Numbers of events."""

    published: int
    lost: int
    doubled: int
    dead_letters: int


class HistoryLoad:
    """A bus that publishes, and two processes `qt-events history record`."""

    def __init__(self, broker: str, store: str) -> None:
        self._broker, self._store_url = broker, store
        self._keeper, self._numbers = ForkingKeeper("qt-events-history-"), count(1)
        self._published: list[str] = []
        self._opened = ExitStack()

    async def __aenter__(self) -> Self:
        fork_server().preload("qt_events.history.stores.sql_store")
        self._opened.callback(self._keeper.close)
        self._bus = self._opened.enter_context(closing(CeleryEventBus(self._broker)))
        self._store = self._opened.enter_context(closing(SqlStore(self._store_url)))
        self._recorders = [self._start(), self._start()]
        # Before its queue stands nobody hears.
        await until_told(self._is_declared, _PATIENCE, "the recorder has its queue")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._opened.close)

    async def publish_and_kill(self, events: int, seconds: float) -> None:
        """Publish, wait until some of them are recorded and so long, and kill the older process."""
        before = self._store.count()
        publishing = asyncio.create_task(self._publish(events))
        await until_told(lambda: self._store.count() > before, _PATIENCE, "they record")
        await asyncio.sleep(seconds)
        oldest = self._recorders.pop(0)
        oldest.kill()
        self._recorders.append(self._start())
        await asyncio.to_thread(oldest.wait, _PATIENCE)
        await publishing

    async def account(self) -> HistoryAccount:
        """Wait until all are recorded, end the recorders, and compare."""
        wanted = set(self._published)
        await until_told(lambda: self._store.count() >= len(wanted), _PATIENCE, "all are recorded")
        for each in self._recorders:
            each.terminate()
            await asyncio.to_thread(each.wait, _PATIENCE)
        kept = Counter(each.event.id for page in every_page(self._store) for each in page)
        return HistoryAccount(
            published=len(self._published),
            lost=len(wanted - kept.keys()),
            doubled=sum(times - 1 for times in kept.values()) + len(kept.keys() - wanted),
            dead_letters=len(await self._bus.dead_letters.list("history")),
        )

    async def _publish(self, events: int) -> None:
        turn = asyncio.Semaphore(_IN_FLIGHT)

        async def publish() -> None:
            async with turn:
                event = Event("load.numbered", payload={"n": len(self._published)})
                await self._bus.publish(event)
                self._published.append(event.id)

        await asyncio.gather(*(publish() for _ in range(events)))

    def _start(self) -> ForkedProcess:
        command = [sys.executable, "-m", "qt_events", "history", "record"]
        # Passwords are not for the process list.
        env = {**os.environ, "QT_BROKER_URL": self._broker, "QT_HISTORY": self._store_url}
        name = f"recorder-{next(self._numbers)}"
        return self._keeper.spawn(name, command, env)  # type: ignore[return-value]

    def _is_declared(self) -> bool:
        with suppress(NotFound):
            return depth(self._broker, "qt.sub.history") >= 0
        return False
