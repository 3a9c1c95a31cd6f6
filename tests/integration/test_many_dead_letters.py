"""Twenty thousand dead letters and `qt-events dead-letters`: its memory stays small, a bar moves, Ctrl-C loses none."""

import json
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import amqp
import pytest

from qt_events.dead_letters import DeadLetterRecord, now
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.envelope import headers_of
from qt_events.testing.broker import Broker
from tests.support.channels import channel_to, depth
from tests.support.fleet.flower import QT_EVENTS

pytestmark = pytest.mark.timeout(300)  # with RabbitMQ's start, and forty megabytes

MANY, PADDING = 20_000, 2_000  # dead letters, bytes
ROOM = 24 * 1024  # KiB over what the same command takes where there are none: 8 MiB were seen, and all have over 40
HALFWAY = re.compile(rf"(\d{{4}}|1\d{{4}})/{MANY}")  # on the bar
QUEUE, LETTERS = "qt.sub.orders", "qt.dead.orders"


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    peak: int  #: KiB of memory
    shown: str  #: on its standard error, in plain text


def record(number: int) -> DeadLetterRecord:
    failed = now()
    return DeadLetterRecord(
        subscription="orders", event_id=f"e{number}", event_type="orders.placed", reason="exhausted", attempts=3,
        exception_type="LookupError", message=f"number {number}", traceback="Traceback: here", first_failed=failed,
        last_failed=failed, body=b'{"padding": "%s"}' % (PADDING * b"x"), id=f"d{number}",
        properties={"message_id": f"e{number}", "content_type": "application/json", "delivery_mode": 2},
    )  # fmt: skip


def bury(url: str, count: int) -> None:
    """Put dead letters into the queue, one after the other without waiting."""
    with channel_to(url) as channel:
        for number in range(count):
            each = record(number)
            message = amqp.Message(each.body, application_headers=headers_of(each, "orders"), **each.properties)
            channel.basic_publish(message, "", LETTERS)
        while channel.queue_declare(LETTERS, passive=True).message_count < count:
            time.sleep(0.02)


class Place(NamedTuple):
    """A broker with many dead letters, and what commands take in memory where there are none."""

    url: str
    peaks: dict[str, int]  #: KiB, by command

    def depths(self) -> tuple[int, int]:
        """Dead letters, and what was sent back."""
        return depth(self.url, LETTERS), depth(self.url, QUEUE)


def ended(url: str, *args: str, interrupt: bool = False) -> Ended:
    """Run a command on a terminal to its end; with `interrupt` Ctrl-C is pressed when the bar is on its way."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [QT_EVENTS, "dead-letters", *args, "-s", "orders"],
        env={**os.environ, "QT_BROKER_URL": url, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    told = b""
    with (
        os.fdopen(ours, "rb", buffering=0) as terminal,
        suppress(OSError),
    ):  # how Linux says: nobody is there
        while part := terminal.read(4_096):
            told += part
            if interrupt and HALFWAY.search(_plain(told)):
                process.send_signal(signal.SIGINT)
                interrupt = False
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(process.returncode, usage.ru_maxrss, _plain(told))


def _plain(told: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.decode(errors="replace"))


@pytest.fixture(scope="module")
def place(broker: Broker) -> Iterator[Place]:
    """Shared: the tests look first, and the last one sends back."""
    name = f"qt-test-{uuid.uuid4().hex}"
    url = broker.management.create_vhost(name)
    bus = CeleryEventBus(url)
    bus.subscribe("orders.*", print, name="orders")
    with channel_to(url) as channel:
        bus.declarations.make(channel, 1)
    bus.close()
    peaks = {"export": ended(url, "export", "-o", os.devnull).peak, "retry": ended(url, "retry", "--all").peak}
    bury(url, MANY)
    yield Place(url, peaks)
    broker.management.delete_vhost(name)


def test_export_holds_few_in_memory_and_a_bar_moves(place: Place, tmp_path: Path) -> None:
    """All of them, in the order in which they came."""
    path = tmp_path / "dead.jsonl"
    export = ended(place.url, "export", "-o", str(path))
    assert export.code == 0
    assert export.peak < place.peaks["export"] + ROOM
    assert HALFWAY.search(export.shown), export.shown[-2_000:]
    with path.open() as lines:
        assert [json.loads(line)["id"] for line in lines] == [f"d{number}" for number in range(MANY)]


def test_ctrl_c_in_a_look_leaves_all_where_they_are(place: Place) -> None:
    """What it has in hand is put back before it ends, though perhaps behind the rest."""
    list_ = ended(place.url, "list", interrupt=True)
    assert list_.code == 130
    assert "qt-events: interrupted: " in list_.shown
    assert place.depths() == (MANY, 0)


def test_retry_all_holds_few_in_memory_and_ctrl_c_loses_none(place: Place) -> None:
    """In the middle of it each is either sent back or a dead letter; the rest goes by the same command."""
    first = ended(place.url, "retry", "--all", interrupt=True)
    left, sent = place.depths()
    assert f"interrupted: {sent:,} of {MANY:,} sent back" in first.shown
    assert (first.code, left + sent) == (130, MANY)
    assert 0 < sent < MANY
    rest = ended(place.url, "retry", "--all")
    assert (rest.code, place.depths()) == (0, (0, MANY))
    assert re.search(rf"sent back.* {left}/{left} ", rest.shown), rest.shown[-2_000:]
    assert max(first.peak, rest.peak) < place.peaks["retry"] + ROOM
