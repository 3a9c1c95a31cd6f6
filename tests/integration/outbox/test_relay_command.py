"""`qt-events outbox relay`: a process of its own, until it is told to end."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from qt_events import CeleryEventBus
from qt_events.outbox import Outbox
from qt_events.outbox.tables import SENT
from tests.support.fleet.forks import ForkingKeeper
from tests.support.shop import Heard, placed, rows
from tests.support.waiting import until, until_told

PATIENCE = 100.0  # seconds


@pytest.fixture
def keeper() -> Iterator[ForkingKeeper]:
    opened = ForkingKeeper("qt-events-outbox-")
    yield opened
    opened.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
async def test_it_sends_what_is_committed_and_ends_with_the_number(
    *,
    amqp_url: str,
    url: str,
    engine: sa.Engine,
    keeper: ForkingKeeper,
    make_bus: Callable[..., CeleryEventBus],
    number: signal.Signals,
) -> None:
    """Events of any class, for it knows none. No password is shown."""
    outbox, bus, heard = Outbox(engine), make_bus(), Heard()
    bus.subscribe("#", heard, name="heard")
    env = {**os.environ, "QT_BROKER_URL": amqp_url, "QT_OUTBOX": url}
    command = [sys.executable, "-m", "qt_events", "outbox", "relay", "--poll", "0.05"]
    async with bus:
        process = keeper.spawn("relay", command, env)
        with engine.begin() as connection:
            for each in range(20):
                outbox.add(connection, placed(str(each)))
        assert sorted(await heard.until(20), key=int) == list(map(str, range(20)))
        await until_told(lambda: len(rows(engine, SENT)) == 20, PATIENCE, "all are marked")
        process.send_signal(number)
        said = keeper.folder / "relay.out"
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0, said.read_text()
    await until(lambda: "sent 20 events; 0 were given up" in said.read_text())
    assert "sending what is committed to <Outbox in" in said.read_text()
    assert (urlsplit(url).password or "hunter2") not in said.read_text()
