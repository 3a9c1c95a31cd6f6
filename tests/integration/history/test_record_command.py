"""`qt-events history record`: a broker's events of any kind, until it is told to end."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import amqp
import pytest
from amqp.exceptions import NotFound

from qt_events import Event
from qt_events.events.cloudevents import CONTENT_TYPE
from qt_events.history.stores.sql_store import SqlStore
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.channels import channel_to, depth
from tests.support.fleet.forks import ForkingKeeper
from tests.support.waiting import until, until_told

PATIENCE = 100.0  # seconds


@pytest.fixture
def keeper() -> Iterator[ForkingKeeper]:
    opened = ForkingKeeper("qt-events-history-")
    yield opened
    opened.close()


def is_declared(url: str) -> bool:
    with suppress(NotFound):
        return depth(url, "qt.sub.history") >= 0
    return False


@pytest.mark.parametrize(("number", "url"), [
    (signal.SIGINT, "sqlite"), (signal.SIGTERM, "postgresql"),
], ids=str, indirect=["url"])  # fmt: skip
async def test_a_recorder_keeps_all_events_and_ends_with_their_number(
    amqp_url: str, url: str, keeper: ForkingKeeper, number: signal.Signals
) -> None:
    """Those of no class, and of plain JSON, too."""
    env = {**os.environ, "QT_BROKER_URL": amqp_url, "QT_HISTORY": url}
    command = [sys.executable, "-m", "qt_events", "history", "record"]
    process = keeper.spawn("recorder", command, env)
    await until_told(lambda: is_declared(amqp_url), PATIENCE, "its queue stands")
    with closing(SqlStore(url)) as store:
        async with CeleryEventBus(amqp_url) as bus:
            events = [Event("recorded.happened", None, {"n": n}) for n in range(20)]
            await asyncio.gather(*map(bus.publish, events))
        strange = b'{"specversion":"1.0","id":"\\u0000","source":"s","type":"a.b","data":[1]}'
        with channel_to(amqp_url) as channel:
            channel.basic_publish(amqp.Message(b"{}", message_id="plain"), "qt.events", "plain")
            message = amqp.Message(strange, content_type=CONTENT_TYPE)
            channel.basic_publish(message, "qt.events", "a.b")
        await until_told(lambda: store.count() == 22, PATIENCE, "all are recorded")
        process.send_signal(number)
        output = keeper.folder / "recorder.out"
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0, output.read_text()
        assert f"recording into {urlsplit(url).scheme}" in output.read_text()
        assert (urlsplit(url).password or "hunter2") not in output.read_text()
        assert "recorded 22 events; 0 were there already" in output.read_text()
        found = {each.event.id: each.event for each in store.page()}
    assert found.keys() == {"plain", "\0", *(event.id for event in events)}
    assert (found["\0"].body, found["plain"].body) == (strange, b"{}")
    assert depth(amqp_url, "qt.sub.history") == 0


async def test_a_store_that_cannot_be_opened_ends_it_at_once(
    amqp_url: str, tmp_path: Path, keeper: ForkingKeeper
) -> None:
    env = {**os.environ, "QT_BROKER_URL": amqp_url, "QT_HISTORY": f"sqlite:///{tmp_path}/no/x.db"}
    command = [sys.executable, "-m", "qt_events", "history", "record"]
    process = keeper.spawn("recorder", command, env)
    await until(lambda: process.poll() is not None, PATIENCE)
    text = (keeper.folder / "recorder.out").read_text()
    assert process.poll() == 1
    assert "qt-events: the history" in text
    assert "unable to open database file" in text
    assert "Traceback" not in text
