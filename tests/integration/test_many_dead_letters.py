"""Thousands of dead letters: the command's memory is small, a bar moves, Ctrl-C loses none."""

import asyncio
import json
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import amqp
import pytest

from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.messages.envelope import headers_of
from qt_events.testing.broker import Broker
from tests.support.channels import channel_to, depth
from tests.support.fleet.flower import QT_EVENTS
from tests.support.lasting import lasting

# Includes RabbitMQ's start and forty megabytes of messages.
pytestmark = pytest.mark.timeout(300)

# Number of dead letters, and bytes of each.
MANY, PADDING = 4_000, 10_000
# KiB over the same command without dead letters. The most seen is 2 MiB, 8 with 20,000 of half the
# size; all of them at once would take over 40.
ROOM = 24 * 1024
# Progress on the bar, at least an eighth of the way.
HALFWAY = re.compile(rf"([5-9]\d{{2}}|[1-9]\d{{3}})/{MANY}")
QUEUE, LETTERS = "qt.sub.orders", "qt.dead.orders"


class Ended(NamedTuple):
    """Command that has ended."""

    code: int
    #: Peak memory in KiB.
    peak: int
    #: Standard error as plain text.
    shown: str


def record(number: int) -> DeadLetterRecord:
    failed = datetime.now(UTC)
    return DeadLetterRecord(
        subscription="orders",
        event_id=f"e{number}",
        event_type="orders.placed",
        reason="exhausted",
        attempts=3,
        exception_type="LookupError",
        message=f"number {number}",
        traceback="Traceback: here",
        first_failed=failed,
        last_failed=failed,
        body=b'{"padding": "%s"}' % (PADDING * b"x"),
        id=f"d{number}",
        properties={
            "message_id": f"e{number}",
            "content_type": "application/json",
            "delivery_mode": 2,
        },
    )


def publish_dead_letters(url: str, count: int) -> None:
    """Publish dead letters into the queue, one after the other without waiting."""
    with channel_to(url) as channel:
        for number in range(count):
            each = record(number)
            message = amqp.Message(
                each.body, application_headers=headers_of(each, "orders"), **each.properties
            )
            channel.basic_publish(message, "", LETTERS)
        while channel.queue_declare(LETTERS, passive=True).message_count < count:
            time.sleep(0.02)


class Place(NamedTuple):
    """Broker with many dead letters, and the memory of each command where there are none."""

    url: str
    #: Peak memory in KiB, by command.
    peaks: dict[str, int]

    def depths(self) -> tuple[int, int]:
        """Return the number of dead letters, and of events that were sent back."""
        return depth(self.url, LETTERS), depth(self.url, QUEUE)


def ended(url: str, *args: str, interrupt: bool = False) -> Ended:
    """Run a command on a terminal to its end.

    With `interrupt`, Ctrl-C is pressed while the bar is moving.
    """
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [QT_EVENTS, "dead-letters", *args, "-s", "orders"],
        env={**os.environ, "QT_BROKER_URL": url, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    output = b""
    # Linux raises OSError when the other end of the terminal is closed.
    with os.fdopen(ours, "rb", buffering=0) as terminal, suppress(OSError):
        while part := terminal.read(4_096):
            output += part
            if interrupt and HALFWAY.search(_plain(output)):
                process.send_signal(signal.SIGINT)
                interrupt = False
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(process.returncode, usage.ru_maxrss, _plain(output))


def _plain(output: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode(errors="replace"))


@pytest.fixture(scope="module")
def place(broker: Broker) -> Iterator[Place]:
    """Fill a broker that all tests share: the first ones only look, the last one sends back."""
    name = f"qt-test-{uuid.uuid4().hex}"
    url = broker.management.create_vhost(name)
    bus = CeleryEventBus(url)
    bus.subscribe("orders.*", print, name="orders")
    asyncio.run(lasting(bus))
    bus.close()
    peaks = {
        "export": ended(url, "export", "-o", os.devnull).peak,
        "retry": ended(url, "retry", "--all").peak,
    }
    publish_dead_letters(url, MANY)
    yield Place(url, peaks)
    broker.management.delete_vhost(name)


def test_export_holds_few_in_memory_and_a_bar_moves(place: Place, tmp_path: Path) -> None:
    """Dead letters are exported in the order of their arrival."""
    path = tmp_path / "dead.jsonl"
    export = ended(place.url, "export", "-o", str(path))
    assert export.code == 0
    assert export.peak < place.peaks["export"] + ROOM
    assert HALFWAY.search(export.shown), export.shown[-2_000:]
    with path.open() as lines:
        assert [json.loads(line)["id"] for line in lines] == [
            f"d{number}" for number in range(MANY)
        ]


def test_ctrl_c_in_a_look_leaves_all_where_they_are(place: Place) -> None:
    """Messages in hand are put back before the command ends, though perhaps behind the rest."""
    list_ = ended(place.url, "list", interrupt=True)
    assert list_.code == 130
    assert "qt-events: interrupted: " in list_.shown
    assert place.depths() == (MANY, 0)


def test_retry_all_holds_few_in_memory_and_ctrl_c_loses_none(place: Place) -> None:
    """Events are sent back or still dead letters after Ctrl-C; a second run does the rest."""
    first = ended(place.url, "retry", "--all", interrupt=True)
    left, sent = place.depths()
    assert f"interrupted: {sent:,} of {MANY:,} sent back" in first.shown
    assert (first.code, left + sent) == (130, MANY)
    assert 0 < sent < MANY
    rest = ended(place.url, "retry", "--all")
    assert (rest.code, place.depths()) == (0, (0, MANY))
    assert re.search(rf"sent back.* {left}/{left} ", rest.shown), rest.shown[-2_000:]
    assert max(first.peak, rest.peak) < place.peaks["retry"] + ROOM
