"""Workers killed between a handler's effect and its acknowledgement: with an inbox, and without."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from qt_events import Event
from tests.faults.accounts import ACCOUNTS, OPENING, balances, moved, open_accounts
from tests.faults.rig import PREFORK, Rig
from tests.support.channels import depth
from tests.support.fleet.fleet import StartedWorker, children
from tests.support.waiting import until

# Many processes share few cores
pytestmark = pytest.mark.timeout(300)

PROGRAM = ("-m", "celery", "-A", "accounts_app", "worker", "-l", "INFO")
BEFORE = "was handled before"


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """Return a vhost of the broker that all tests share: it comes to no harm here."""
    return amqp_url


@pytest.fixture
def hears() -> Mapping[str, str]:
    """Return nothing: the accounts are the ledger."""
    return {}


class Bank:
    """Workers that move money, killed while they do; and the sums."""

    def __init__(self, rig: Rig, url: sa.URL, *options: str, inbox: bool, is_async: bool) -> None:
        self.rig, self._options = rig, options
        self.engine = sa.create_engine(url)
        open_accounts(self.engine)
        driver = "sqlite+aiosqlite" if is_async and "sqlite" in url.drivername else url.drivername
        self._environment: dict[str, Any] = {
            "ACCOUNTS_URL": url.set(drivername=driver).render_as_string(hide_password=False),
            "ACCOUNTS_ASYNC": int(is_async),
            "ACCOUNTS_INBOX": int(inbox),
        }
        self.events = [
            Event("transfer.asked", payload={"amount": n + 1, "account": n % ACCOUNTS})
            for n in range(200)
        ]

    async def worker(self, *, ready: bool = True) -> StartedWorker:
        return await self.rig.worker(
            *self._options, program=PROGRAM, ready=ready, **self._environment
        )

    async def run(self, kills: int) -> None:
        """Publish all events while processes are killed at random; return when all is quiet."""
        serving = list(await asyncio.gather(*(self.worker() for _ in range(2))))
        publishing = asyncio.create_task(self._publish())
        for _ in range(kills):
            enough = len(self.moved()) + 3
            await until(partial(self._has_moved, enough), 60, "transfers go on")
            await asyncio.sleep(random.uniform(0, 0.1))
            if PREFORK[1] in self._options:
                await self._kill_child(random.choice(serving))
            else:
                self.rig.kill(serving.pop(0))
                # It begins while the other one works.
                serving.append(await self.worker(ready=False))
        await publishing
        every = {event.id for event in self.events}
        await until(lambda: set(self.moved()) == every, 90, "every transfer has happened")
        queue = "qt.sub.accounts"
        await until(lambda: depth(self.rig.url, queue) == 0, 60, "the queue is empty")
        await asyncio.gather(*(self.rig.until_ready(worker) for worker in serving))
        await self.rig.end(*serving)

    async def _kill_child(self, worker: StartedWorker) -> None:
        """Kill a child that is at work, and return when there is another in its stead."""
        before = set(children(worker.process))
        os.kill(random.choice(sorted(before)), signal.SIGKILL)
        await until(lambda: set(children(worker.process)) - before, 30, "another child is forked")

    def _has_moved(self, count: int) -> bool:
        return len(self.moved()) >= count or len(set(self.moved())) == len(self.events)

    async def _publish(self) -> None:
        """Publish slowly enough for each kill to strike some transfers."""
        bus = self.rig.bus()
        for event in self.events:
            await bus.publish(event)
            await asyncio.sleep(0.05)

    def moved(self) -> list[str]:
        return moved(self.engine)

    @property
    def amount(self) -> int:
        """Sum of all amounts."""
        return sum(event.payload["amount"] for event in self.events)

    def said(self, text: str) -> int:
        return sum(worker.output.count(text) for worker in self.rig.workers)


@pytest.fixture(params=["postgresql-async", "sqlite-prefork"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, ...]]:
    """Return a database, the workers' pool, and whether their handlers are async."""
    if request.param == "sqlite-prefork":
        yield sa.make_url(f"sqlite:///{tmp_path}/bank.db"), PREFORK, False
        return
    url = sa.make_url(request.getfixturevalue("postgres_url"))
    yield url.set(drivername="postgresql+psycopg"), (), True


async def test_with_an_inbox_each_transfer_happens_once(rig: Rig, place: tuple[Any, ...]) -> None:
    """Ten processes are killed: the sums are right, and what came again was deduplicated."""
    url, options, is_async = place
    bank = Bank(rig, url, *options, inbox=True, is_async=is_async)
    await bank.run(kills=10)
    assert Counter(bank.moved()) == Counter(event.id for event in bank.events)
    assert balances(bank.engine) == (ACCOUNTS * OPENING - bank.amount, bank.amount)
    rig.figures["deduplicated"] = bank.said(BEFORE)
    assert rig.figures["deduplicated"] > 0
    bank.engine.dispose()


async def test_without_an_inbox_money_is_made(rig: Rig, postgres_url: str) -> None:
    """The same handlers, in transactions of their own: some transfers happen twice.

    That is what the test above would see if an inbox did nothing.
    """
    url = sa.make_url(postgres_url).set(drivername="postgresql+psycopg")
    bank = Bank(rig, url, inbox=False, is_async=True)
    await bank.run(kills=4)
    twice = len(bank.moved()) - len(bank.events)
    rig.figures["happened twice"] = twice
    assert twice > 0
    assert balances(bank.engine)[1] > bank.amount
    bank.engine.dispose()
