"""Hostile and broken messages are handled or become dead letters with a reason; others go on."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import amqp
import pytest

from qt_events.events.cloudevents import MAX_BODY
from qt_events.rabbitmq.messages.envelope import record_from
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.queues import BEGINNING
from qt_events.testing.broker import Broker
from qt_events.testing.contract.recorder import Call
from tests.integration.hostile_cases import CANARY, CASES, HANDLED, Case
from tests.support.channels import channel_to
from tests.support.fleet.fleet import Fleet, StartedWorker
from tests.support.waiting import PATIENCE

PROGRAM = ("-m", "celery", "-A", "hostile_app", "worker")
MARKER = "hostile.marker"
# KiB that all cases together may take. A message of 20 MB is in memory twice while it arrives.
ROOM = 160 * 1024
# Messages of 20 MB that wait at once.
MANY = 10


@dataclass
class Result:
    """Outcome of one message."""

    calls: list[Call] = field(default_factory=list)
    dead: list[amqp.Message] = field(default_factory=list)


class MarkedWorker:
    """Worker and channel of one pool.

    Every message is followed by a marker. Once the marker is handled, the message has its outcome.
    """

    def __init__(self, fleet: Fleet, worker: StartedWorker, channel: amqp.Channel) -> None:
        self.fleet, self.worker, self.channel = fleet, worker, channel
        self._numbers, self._seen = count(1), 0
        self.mark()
        self.at_first = self.memory

    def send(self, case: Case, way: str) -> Result:
        exchange, key = {
            "exchange": ("qt.events", case.routing_key),
            "queue": ("", "qt.sub.hostile"),
            "quarantine": ("", "qt.quarantine.hostile"),
        }[way]
        if way == "quarantine":
            return self._quarantined(case)
        self.channel.basic_publish(case.message(way), exchange, key)
        if case.given_back:
            return Result(dead=_waited(self.buried))
        return Result(self.mark(), self.buried())

    def _quarantined(self, case: Case) -> Result:
        """Send straight to the quarantine queue and wait for the dead letter.

        The quarantine is another queue, so a marker in the main queue does not come after it.
        """
        self.channel.basic_publish(case.message("quarantine"), "", "qt.quarantine.hostile")
        dead = _waited(self.buried)
        return Result(self.mark(), dead)

    def mark(self) -> list[Call]:
        """Wait until a marker is handled and return the calls before it."""
        body = json.dumps({"number": next(self._numbers)}).encode()
        self.channel.basic_publish(
            amqp.Message(body, content_type="application/json"), "qt.events", MARKER
        )
        calls: list[Call] = _waited(lambda: self._calls_to(json.loads(body)))
        new, self._seen = calls[self._seen : -1], len(calls)
        return new

    def _calls_to(self, payload: dict[str, Any]) -> list[Call]:
        calls = self.fleet.recorder.read("call")
        marks = [
            n
            for n, call in enumerate(calls)
            if call.event_type == MARKER and call.payload == payload
        ]
        return calls[: marks[0] + 1] if marks else []

    def buried(self, subscription: str = "hostile") -> list[amqp.Message]:
        return list(
            iter(lambda: self.channel.basic_get(f"qt.dead.{subscription}", no_ack=True), None)
        )

    @property
    def memory(self) -> int:
        """Peak resident memory so far, in KiB."""
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        return next(
            int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")
        )


def _waited(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def _served(broker: Broker, folder: Path, *options: str) -> Iterator[MarkedWorker]:
    vhost = f"qt-test-{uuid4().hex}"
    url = broker.management.create_vhost(vhost)
    fleet = Fleet(url, folder)
    try:
        with channel_to(url) as channel:
            # The first messages are to find all queues.
            Topology().declare_quarantine(channel, "hostile")
            for name in ("other", "held"):
                Topology().declare_dead_letters(channel, name)
        worker = asyncio.run(fleet.start(*options, program=PROGRAM))
        with channel_to(url) as channel:
            channel.auto_decode = False
            yield MarkedWorker(fleet, worker, channel)
    finally:
        fleet.close()
        broker.management.delete_vhost(vhost)


@pytest.fixture(scope="module")
def on_asyncio(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MarkedWorker]:
    """Start one worker with the asyncio pool, for all cases."""
    yield from _served(broker, tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def on_prefork(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MarkedWorker]:
    """Start one worker with one child process."""
    yield from _served(broker, tmp_path_factory.mktemp("hostile"), "-P", "processes", "-c", "1")


def _check(case: Case, way: str, result: Result) -> None:
    outcomes = [HANDLED] * len(result.calls) + [_reason(dead) for dead in result.dead]
    if case.outcome == "exhausted":
        assert outcomes == [HANDLED, "exhausted"]
    else:
        assert outcomes == [case.outcome]
    for call in result.calls:
        assert call.name == "hostile"
        assert case.payload in (None, call.payload)
    for dead in result.dead:
        _check_dead_letter(case, dead)


def _reason(dead: amqp.Message) -> str:
    return str((dead.headers or {}).get("qt-reason"))


def _check_dead_letter(case: Case, dead: amqp.Message) -> None:
    headers, body = (
        dead.headers or {},
        dead.body if isinstance(dead.body, bytes) else dead.body.encode(),
    )
    properties = {
        name: value for name, value in dead.properties.items() if name != "application_headers"
    }
    record = record_from("hostile", body, properties, headers, "qt.dead.hostile")
    whole = len(case.body) <= MAX_BODY
    assert record.whole == whole
    assert record.body == (case.body if whole else case.body[:BEGINNING])
    assert headers.get("qt-body-size") == (None if whole else len(case.body))
    assert case.says in record.message, record.message
    assert record.attempts == case.attempts
    if isinstance(case.routing_key, str):
        assert record.event_type == case.routing_key


@pytest.mark.parametrize(
    ("case", "way"), [pytest.param(c, w, id=f"{c.name}-{w}") for c in CASES for w in c.ways]
)
def test_a_message_ends_as_the_table_says(on_asyncio: MarkedWorker, case: Case, way: str) -> None:
    """A message has the outcome of the table, with reason and body, and the next one goes on."""
    _check(case, way, on_asyncio.send(case, way))


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in CASES if c.everywhere])
def test_it_ends_the_same_on_prefork(on_prefork: MarkedWorker, case: Case) -> None:
    """The outcome is the same on prefork, where the message goes to another process."""
    _check(case, case.ways[0], on_prefork.send(case, case.ways[0]))


def test_many_large_messages_wait_in_little_memory(on_asyncio: MarkedWorker) -> None:
    """A body that no handler will see is cut as it arrives, not when its turn comes."""
    large = json.dumps({"long": "x" * 20 * 10**6}).encode()
    for body in [b"{}", *[large] * MANY]:
        on_asyncio.channel.basic_publish(
            amqp.Message(body, content_type="application/json"), "qt.events", "held"
        )
    _waited(lambda: on_asyncio.fleet.calls("held.begun"))
    _waited(
        lambda: on_asyncio.channel.queue_declare("qt.sub.held", passive=True).message_count == 0
    )
    on_asyncio.fleet.open()
    dead: list[amqp.Message] = []
    while len(dead) < MANY:
        dead += _waited(lambda: on_asyncio.buried("held"))
    assert {_reason(each) for each in dead} == {"undecodable"}
    on_asyncio.mark()
    assert on_asyncio.memory - on_asyncio.at_first < ROOM


@pytest.mark.parametrize("pool", ["asyncio", "prefork"])
def test_after_all_that_nothing_else_has_happened(
    on_asyncio: MarkedWorker, on_prefork: MarkedWorker, pool: str
) -> None:
    """The same process serves on within its memory.

    No other task ran, nothing was unpickled, and no message is left over.
    """
    here = {"asyncio": on_asyncio, "prefork": on_prefork}[pool]
    assert here.mark() == []
    assert here.worker.process.poll() is None
    calls = here.fleet.recorder.read("call")
    assert {call.name for call in calls} <= {"hostile", "held.begun"}
    assert len({call.process for call in calls}) == 1
    assert not Path(f"/proc/{here.worker.pid}/cwd", CANARY).exists()
    assert "a fault of this library" not in here.worker.output
    assert "Unrecoverable" not in here.worker.output
    assert "Logging error" not in here.worker.output
    assert here.memory - here.at_first < ROOM
    for queue in (
        "qt.sub.hostile",
        "qt.quarantine.hostile",
        "qt.sub.other",
        "qt.dead.other",
        "qt.lost",
        "celery",
    ):
        assert here.channel.queue_declare(queue, passive=True).message_count == 0
