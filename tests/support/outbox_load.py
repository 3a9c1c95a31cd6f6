"""OutboxLoad: orders for relays that are killed again and again, and what became of them."""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from qt_events.events.event import Event
from qt_events.outbox import Outbox
from qt_events.outbox.tables import WAITING
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.fleet.forks import ForkingKeeper, fork_server
from tests.support.shop import Order, orders, placed, prepared, rows, sync_url
from tests.support.waiting import until, until_told

_PATIENCE = 100.0  # seconds
_KEYS = 10


@dataclass(frozen=True, slots=True)
class OutboxAccount:
    """Numbers of orders and of their events."""

    orders: int
    #: Orders without an event that arrived, and events without an order.
    lost: int
    invented: int
    #: Events that arrived more than once, with the same id.
    doubled: int
    #: Keys whose events, each taken when it came first, were not in the order of their adding.
    disordered: int
    dead: int


class OutboxLoad:
    """Transactions in this process, two processes `qt-events outbox relay`, and a subscription."""

    def __init__(self, broker: str, store: str) -> None:
        self._broker, self._store = broker, store
        self._keeper, self._numbers = ForkingKeeper("qt-events-outbox-"), count(1)
        self._ids = count(1)
        self._arrived: list[tuple[str, str]] = []
        self._opened = ExitStack()

    async def __aenter__(self) -> Self:
        for module in ("qt_events.outbox", "qt_events.rabbitmq.operating.target", "psycopg"):
            fork_server().preload(module)
        self._opened.callback(self._keeper.close)
        self.engine = prepared(sa.create_engine(sync_url(self._store)))
        self._opened.callback(self.engine.dispose)
        self._outbox = Outbox(self.engine)
        self._bus = self._opened.enter_context(closing(CeleryEventBus(self._broker)))
        self._bus.subscribe("order.placed", self._take, name="orders", raw=True)
        await self._bus.__aenter__()
        self._relays = [self._start(), self._start()]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            await self._bus.__aexit__(kind, error, at)
        finally:
            self._opened.close()

    async def _take(self, event: Any) -> None:
        self._arrived.append((event.correlation_id, event.id))

    def _start(self) -> subprocess.Popen[bytes]:
        env = {**os.environ, "QT_BROKER_URL": self._broker, "QT_OUTBOX": self._store}
        command = [sys.executable, "-m", "qt_events", "outbox", "relay", "--poll", "0.05"]
        return self._keeper.spawn(f"relay-{next(self._numbers)}", command, env)

    async def place_and_kill(self, number: int, after: float) -> None:
        """Place orders, a third of them rolled back; kill both relays while they are at work.

        That is some seconds after the first of these orders has arrived, and while others wait.
        """
        before = len(self._arrived)
        placing = asyncio.create_task(asyncio.to_thread(self._place, number))
        await until(lambda: len(self._arrived) > before, _PATIENCE, self._told())
        await asyncio.sleep(after)
        for victim in self._relays:
            victim.kill()
        self._relays = [self._start(), self._start()]
        await placing

    def _place(self, number: int) -> None:
        for _ in range(number):
            with self.engine.connect() as connection:
                transaction = connection.begin()
                for _ in range(random.randint(1, 40)):
                    order = f"{next(self._ids):06}"
                    connection.execute(sa.insert(Order).values(id=order))
                    self._outbox.add(connection, self._event(order))
                if random.random() < 1 / 3:
                    transaction.rollback()
                else:
                    transaction.commit()

    def _event(self, order: str) -> Event[Any]:
        return placed(order, correlation_id=f"key {int(order) % _KEYS}")

    async def account(self) -> OutboxAccount:
        """Wait until nothing waits and all have arrived, and add up."""
        await until_told(lambda: not rows(self.engine, WAITING), _PATIENCE, self._told())
        wanted = set(orders(self.engine))
        await until(lambda: {each for _, each in self._arrived} >= wanted, _PATIENCE)
        found = Counter(each for _, each in self._arrived)
        firsts: dict[str, list[str]] = {}
        for key, each in dict.fromkeys(self._arrived):
            firsts.setdefault(key, []).append(each)
        return OutboxAccount(
            orders=len(wanted),
            lost=len(wanted - found.keys()),
            invented=len(found.keys() - wanted),
            doubled=sum(number > 1 for number in found.values()),
            disordered=sum(each != sorted(each) for each in firsts.values()),
            dead=(await self._outbox.stats()).dead,
        )

    def _told(self) -> str:
        texts = [each.read_text()[-500:] for each in self._keeper.folder.glob("relay-*.out")]
        return "\n".join(["nothing waits any more", *texts[-2:]])
