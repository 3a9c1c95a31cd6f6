"""What `publish` promises: confirmed or ended by name, in order, over one connection, and it never hangs."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import celery
import pytest

from qt_events import Event
from qt_events.codec import Message, decode
from qt_events.errors import (
    BackpressureError,
    BrokerBlockedError,
    BrokerError,
    BrokerUnreachableError,
    BusStateError,
    PublishRefusedError,
    PublishTimeoutError,
    UnroutableError,
)
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.orders import Publish
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.management import Management
from qt_events.testing.ports import free_ports
from tests.integration.conftest import Make, channel_to, until, until_told

ROOT = Path(__file__).parents[2]
KEPT = "qt.sub.kept"
SHORT = 1.0  # publish_timeout where it is to run out
SLACK = 1.0  # seconds that a busy machine may take on top of it


@pytest.fixture
def bus(make_bus: Make, amqp_url: str) -> CeleryEventBus:
    """A bus on the shared broker whose one subscription keeps every event: nobody serves it."""
    return keeping(make_bus(amqp_url))


@pytest.fixture(scope="module")
def node() -> Iterator[PrivateBroker]:
    """A broker that may be harmed."""
    with PrivateBroker() as started:
        yield started


@pytest.fixture
def harmed(node: PrivateBroker) -> Iterator[PrivateBroker]:
    """The same, unharmed again afterwards."""
    yield node
    node.resume()
    if node.management.is_alarmed():
        node.unblock()


@pytest.fixture
def node_url(node: PrivateBroker, request: pytest.FixtureRequest) -> str:
    """A vhost of its own on it."""
    return node.management.create_vhost(request.node.name)


def keeping(bus: CeleryEventBus, pattern: str = "#") -> CeleryEventBus:
    bus.subscribe(pattern, print, name="kept")
    return bus


def event(number: int = 0, type: str = "number.drawn") -> Event[Any]:
    return Event(type, None, {"number": number})


def taken(url: str, queue: str = KEPT) -> list[Any]:
    """The numbers of the events that the queue holds, taken out of it."""
    numbers = []
    with channel_to(url) as channel:
        while (raw := channel.basic_get(queue, no_ack=True)) is not None:
            body = raw.body if isinstance(raw.body, bytes) else raw.body.encode()
            numbers.append(decode(body, raw.properties, raw.delivery_info["routing_key"]).payload["number"])
    return numbers


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds + SLACK


def publisher_threads() -> int:
    return sum(thread.name == "qt_events-publisher" for thread in threading.enumerate())


# Confirmed, in order, many at a time


async def test_what_is_published_is_on_the_queue_when_publish_returns(bus: CeleryEventBus, amqp_url: str) -> None:
    """A confirm means that the queue has it."""
    for number in range(20):
        await bus.publish(event(number))
    assert await asyncio.to_thread(taken, amqp_url) == list(range(20))


async def test_what_was_subscribed_before_gets_what_is_published_next(bus: CeleryEventBus, amqp_url: str) -> None:
    """The queue is declared before the event is written, without a worker, and so is a pattern added later."""
    bus.unsubscribe("#", print)
    bus.subscribe("first", print, name="kept")
    await bus.publish(event(1, "first"))
    bus.subscribe("second", print, name="kept")
    await asyncio.gather(bus.publish(event(2, "second")), bus.publish(event(3, "second")))
    assert await asyncio.to_thread(taken, amqp_url) == [1, 2, 3]


@pytest.mark.parametrize("room", [10_000, 7])
async def test_order_of_calls_is_order_on_the_queue(make_bus: Make, amqp_url: str, room: int) -> None:
    """Within one publisher, and for those too that had to wait for room."""
    bus = keeping(make_bus(amqp_url, max_queue_size=room))
    await asyncio.gather(*(bus.publish(event(number)) for number in range(300)))
    assert await asyncio.to_thread(taken, amqp_url) == list(range(300))


# Threads, loops, processes


async def test_one_connection_serves_every_loop_and_thread(
    bus: CeleryEventBus, amqp_url: str, management: Management, vhost: str
) -> None:
    """Made with the first publish, not before."""
    before = publisher_threads()

    def in_a_loop(number: int) -> None:
        async def publish() -> None:
            await asyncio.gather(*(bus.publish(event(10 * number + i)) for i in range(5)))
            await bus.publish(event(10 * number + 5))

        asyncio.run(publish())

    def in_a_thread(number: int) -> None:
        for i in range(6):
            bus.publish_sync(event(10 * number + i))

    with ThreadPoolExecutor(8) as threads:
        loop = asyncio.get_running_loop()
        works = [loop.run_in_executor(threads, (in_a_loop, in_a_thread)[n % 2], n) for n in range(8)]
        await asyncio.gather(*works)
    assert before == 0
    assert publisher_threads() == 1
    await until_told(lambda: len(management.connections(vhost)) == 1)
    expected = [10 * number + i for number in range(8) for i in range(6)]
    assert sorted(await asyncio.to_thread(taken, amqp_url)) == expected


async def test_publish_sync_is_refused_on_an_event_loop(bus: CeleryEventBus) -> None:
    """It would block it."""
    with pytest.raises(BusStateError, match="await bus"):
        bus.publish_sync(event())


async def test_a_sync_handler_publishes_with_publish_sync(make_bus: Make, amqp_url: str) -> None:
    """It runs in a thread; and what it publishes is caused by what it handles."""
    bus = make_bus(amqp_url)
    heard: list[Event[Any]] = []
    bus.subscribe("ask", lambda asked: bus.publish_sync(event(asked.payload["number"], "answer")), name="asked")
    bus.subscribe("answer", heard.append, name="answered")
    async with bus:
        asked = event(7, "ask")
        await bus.publish(asked)
        await bus.join(20)
    assert [(answer.payload["number"], answer.causation_id) for answer in heard] == [(7, asked.id)]


@contextmanager
def run_program(body: str, url: str) -> Iterator[subprocess.Popen[str]]:
    """A program of its own, with a `bus` whose subscription keeps every event; killed if the test fails."""
    head = (
        "import os, sys\n"
        "from qt_events import Event\n"
        "from qt_events.rabbitmq.bus import CeleryEventBus\n"
        "bus = CeleryEventBus(sys.argv[1], publish_timeout=20)\n"
        "bus.subscribe('#', print, name='kept')\n"
        "def publish(number): bus.publish_sync(Event('number.drawn', None, {'number': number}))\n"
    )
    command = [sys.executable, "-W", "error", "-c", head + body, url]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, text=True, start_new_session=True, stdin=pipe, stdout=pipe, stderr=pipe
    ) as program:
        try:
            yield program
        finally:
            if program.poll() is None:
                os.killpg(program.pid, signal.SIGKILL)


def ended_well(program: subprocess.Popen[str], told: str = "") -> None:
    out, err = program.communicate(told, timeout=60)
    assert (program.returncode, err) == (0, ""), out


async def test_a_forked_child_publishes_over_a_connection_of_its_own(
    amqp_url: str, management: Management, vhost: str
) -> None:
    """And the parent's goes on, though the child ends."""
    body = (
        "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"  # 3.12: fork beside threads
        "publish(1)\n"
        "go, tell = os.pipe(), os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    publish(2); os.write(tell[1], b'x'); os.read(go[0], 1); bus.close(); os._exit(0)\n"
        "os.read(tell[0], 1); publish(3); print('three', flush=True)\n"
        "sys.stdin.readline(); os.write(go[1], b'x')\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "publish(4)\n"
    )
    with run_program(body, amqp_url) as program:
        assert program.stdout is not None
        assert await asyncio.to_thread(program.stdout.readline) == "three\n"
        await until_told(lambda: len(management.connections(vhost)) == 2)
        await asyncio.to_thread(ended_well, program, "go\n")
    assert await asyncio.to_thread(taken, amqp_url) == [1, 2, 3, 4]


def test_publishing_while_the_interpreter_exits_works_and_does_not_hang(amqp_url: str) -> None:
    """From atexit handlers, whether or not something was published before, and without close()."""
    with run_program("import atexit; atexit.register(publish, 2)\npublish(1)\n", amqp_url) as program:
        ended_well(program)
    with run_program("import atexit; atexit.register(publish, 3)\n", amqp_url) as program:
        ended_well(program)
    assert taken(amqp_url) == [1, 2, 3]


def test_a_process_with_many_open_files_publishes(amqp_url: str) -> None:
    """select() would refuse descriptors from 1024 on."""
    body = (
        "import resource, socket\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))\n"
        "files = [open(os.devnull) for _ in range(1100)]\n"
        "publish(1)\n"
        "for file in files: file.close()\n"
    )
    with run_program(body, amqp_url) as program:
        ended_well(program)
    assert taken(amqp_url) == [1]


def test_a_publisher_is_closed_once_and_for_all(bus: CeleryEventBus) -> None:
    """Closing twice is closing once; publishing afterwards is a named error, at once."""
    bus.publish_sync(event())
    for _ in range(3):
        bus.close()
    assert publisher_threads() == 0
    with within(0), pytest.raises(BusStateError, match="closed"):
        bus.publish_sync(event())


# Nobody there


async def test_nobody_listening_is_a_named_error_in_time(make_bus: Make) -> None:
    """It says where, why and what to do, and never the password."""
    (port,) = free_ports(1)
    bus = make_bus(f"amqp://somebody:s3cret@127.0.0.1:{port}//", publish_timeout=SHORT)
    with within(SHORT), pytest.raises(BrokerUnreachableError, match=rf":{port}.*refused") as caught:
        await bus.publish(event())
    assert "s3cret" not in str(caught.value)
    assert bus.publisher.in_flight == 0
    with within(SHORT), pytest.raises(BrokerUnreachableError):
        await asyncio.to_thread(bus.publish_sync, event())


async def test_a_listener_that_never_answers_is_a_named_error_in_time(make_bus: Make) -> None:
    """The connection stands, and nobody speaks AMQP on it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        bus = make_bus(f"amqp://somebody:s3cret@127.0.0.1:{server.getsockname()[1]}//", publish_timeout=SHORT)
        with within(SHORT), pytest.raises(BrokerUnreachableError) as caught:
            await bus.publish(event())
    assert "s3cret" not in str(caught.value)


async def test_a_refused_login_is_a_named_error(make_bus: Make, amqp_url: str) -> None:
    """It waits all the same: a broker that comes up may refuse at first. The broker's word is in the text."""
    parts = urlsplit(amqp_url)
    bus = make_bus(f"amqp://guest:s3cret@{parts.hostname}:{parts.port}{parts.path}", publish_timeout=SHORT)
    with within(SHORT), pytest.raises(BrokerUnreachableError, match="ACCESS_REFUSED") as caught:
        await bus.publish(event())
    assert "s3cret" not in str(caught.value)


async def test_the_next_host_is_taken_where_the_first_ones_are_away(make_bus: Make, amqp_url: str) -> None:
    """However many are away, and without a pause between them."""
    dead = [f"amqp://guest:guest@127.0.0.1:{port}//" for port in free_ports(3)]
    bus = keeping(make_bus(";".join([*dead, amqp_url])))
    with within(1):
        await bus.publish(event(1))
    assert await asyncio.to_thread(taken, amqp_url) == [1]


async def test_a_blocked_broker_is_a_named_error_and_later_none(
    make_bus: Make, harmed: PrivateBroker, node_url: str
) -> None:
    """Publishing works again as soon as the alarm is over, without a new connection."""
    bus = keeping(make_bus(node_url, publish_timeout=SHORT))
    patient = keeping(make_bus(node_url))
    await bus.publish(event(1))
    await patient.publish(event(2))
    await asyncio.to_thread(harmed.block)
    waiting = asyncio.create_task(patient.publish(event(3)))
    with within(SHORT):
        errors = await asyncio.gather(*(bus.publish(event(-1)) for _ in range(5)), return_exceptions=True)
    with within(SHORT), pytest.raises(BrokerBlockedError, match="alarm"):
        await bus.publish(event(-1))
    await asyncio.to_thread(harmed.unblock)
    await waiting
    await bus.publish(event(4))
    assert [type(error) for error in errors] == [BrokerBlockedError] * 5
    assert bus.publisher.session == 1
    numbers = await asyncio.to_thread(taken, node_url)
    assert [number for number in numbers if number > 0] == [1, 2, 3, 4]


async def test_a_publish_that_an_alarm_held_up_says_so(make_bus: Make, harmed: PrivateBroker, node_url: str) -> None:
    """Its time may run out between the end of the alarm and its confirm; the next one's has nothing to do with it."""
    bus = keeping(make_bus(node_url, publish_timeout=SHORT))
    await bus.publish(event(1))
    harmed.suspend()
    late = asyncio.create_task(bus.publish(event(2)))
    await until(lambda: bus.publisher.in_flight == 1)
    bus.publisher._on_blocked("low on memory")  # noqa: SLF001  # in the name of the broker, which confirms nothing
    bus.publisher._on_unblocked()  # noqa: SLF001
    with pytest.raises(BrokerBlockedError, match="a part of the last 1 s"):
        await late
    with pytest.raises(PublishTimeoutError, match="has not confirmed within") as caught:
        await bus.publish(event(3))
    harmed.resume()
    assert type(caught.value) is PublishTimeoutError
    await until_told(lambda: published(bus))


async def test_large_events_end_by_name_on_a_blocked_broker_too(
    make_bus: Make, harmed: PrivateBroker, node_url: str
) -> None:
    """The kernel stops taking them half way; afterwards all is as before."""
    bus = keeping(make_bus(node_url, publish_timeout=SHORT))
    await bus.publish(event(1))
    await asyncio.to_thread(harmed.block)
    large = [Event("number.drawn", None, {"number": -1, "text": "x" * 8_000_000}) for _ in range(2)]
    with within(SHORT):
        errors = await asyncio.gather(*(bus.publish(each) for each in large), return_exceptions=True)
    assert all(isinstance(error, PublishTimeoutError) for error in errors)
    await asyncio.to_thread(harmed.unblock)
    patient = keeping(make_bus(node_url))
    await patient.publish(event(2))
    await until_told(lambda: published(bus))
    assert bus.publisher.in_flight == 0


def published(bus: CeleryEventBus) -> bool:
    try:
        bus.publish_sync(event(3))
    except PublishTimeoutError:
        return False
    return True


async def test_a_silent_broker_is_a_named_error_and_later_none(
    make_bus: Make, harmed: PrivateBroker, node_url: str
) -> None:
    """The connection stands and the kernel takes what is written, but nobody confirms."""
    bus = keeping(make_bus(node_url, publish_timeout=SHORT))
    await bus.publish(event(1))
    harmed.suspend()
    with within(SHORT), pytest.raises(PublishTimeoutError, match="not confirmed") as caught:
        await bus.publish(event(2))
    harmed.resume()
    assert type(caught.value) is PublishTimeoutError
    await until_told(lambda: published(bus))
    assert (await asyncio.to_thread(taken, node_url))[:2] == [1, 2]  # unknown, it was: here it arrived


async def test_an_outage_shorter_than_the_timeout_fails_no_publish(
    make_bus: Make, harmed: PrivateBroker, node_url: str
) -> None:
    """The broker is killed with publishes in flight and comes back: all are confirmed, and all confirmed are there."""
    bus, numbers = keeping(make_bus(node_url, publish_timeout=60.0)), iter(range(10_000_000))
    await bus.publish(event(next(numbers)))
    await asyncio.to_thread(harmed.settle)
    confirmed, running = [], True

    async def load() -> None:
        while running:
            number = next(numbers)
            await bus.publish(event(number))
            confirmed.append(number)
            await asyncio.sleep(0.002)

    loads = [asyncio.create_task(load()) for _ in range(20)]
    await until(lambda: len(confirmed) > 200)
    harmed.kill()
    at_kill = len(confirmed)
    await asyncio.to_thread(harmed.restart)
    await until(lambda: len(confirmed) > at_kill + 200, 60)
    running = False
    await asyncio.gather(*loads)
    there = await asyncio.to_thread(taken, node_url)
    assert set(confirmed) <= set(there)
    assert bus.publisher.in_flight == 0


async def test_a_connection_closed_by_the_broker_fails_no_publish(
    bus: CeleryEventBus, amqp_url: str, management: Management, vhost: str
) -> None:
    """An operator closes it again and again; the order of what is seen first stays."""
    running, sent = True, iter(range(10_000_000))

    async def load() -> None:
        while running:
            await asyncio.gather(*(bus.publish(event(next(sent))) for _ in range(20)))
            await asyncio.sleep(0.05)

    loading = asyncio.create_task(load())
    for _ in range(2):
        session = bus.publisher.session
        await until_told(lambda: management.close_connections(vhost))
        await until(lambda session=session: bus.publisher.session > session)  # type: ignore[misc]
    running = False
    await loading
    there = await asyncio.to_thread(taken, amqp_url)
    first_seen = list(dict.fromkeys(there))
    assert first_seen == list(range(next(sent)))


async def test_an_idle_publisher_stays_connected(
    make_bus: Make, amqp_url: str, management: Management, vhost: str
) -> None:
    """Idle for longer than two heartbeats of the app's own `broker_heartbeat`: over the same connection it goes on."""
    app = celery.Celery("idle", broker=amqp_url, set_as_current=False)
    app.conf.broker_heartbeat = 1
    bus = keeping(make_bus(app=app))
    await bus.publish(event(1))
    await until_told(lambda: [each.get("timeout") for each in management.connections(vhost)] == [1])
    await asyncio.sleep(3.5)  # being idle is what is tested
    await bus.publish(event(2))
    assert bus.publisher.session == 1
    assert await asyncio.to_thread(taken, amqp_url) == [1, 2]


# Refused


async def test_an_unroutable_event_is_counted_and_an_error_only_if_asked(make_bus: Make, amqp_url: str) -> None:
    """Nobody has to be subscribed."""
    bus = make_bus(amqp_url)
    await bus.publish(event())
    assert bus.get_stats()["unroutable"] == 1
    with pytest.raises(UnroutableError, match=r"number\.drawn"):
        await bus.publish(event(), mandatory=True)
    keeping(bus)
    await bus.publish(event(), mandatory=True)
    assert bus.get_stats()["unroutable"] == 2
    assert bus.get_stats()["published"] == 3


async def test_routed_and_unroutable_events_in_flight_together_are_told_apart(make_bus: Make, amqp_url: str) -> None:
    """A return is matched with its publish, whatever is in flight beside it."""
    bus = keeping(make_bus(amqp_url), "even")
    publishes = (bus.publish(event(n, ("even", "odd")[n % 2]), mandatory=True) for n in range(200))
    results = await asyncio.gather(*publishes, return_exceptions=True)
    assert [isinstance(result, UnroutableError) for result in results] == [n % 2 == 1 for n in range(200)]


async def test_a_full_queue_that_rejects_is_a_named_error(make_bus: Make, amqp_url: str) -> None:
    """A nack: the broker could not store it everywhere, however often it was tried; the others are another matter."""
    bus = keeping(make_bus(amqp_url, publish_timeout=1.0))
    await bus.publish(event(1))
    declare_full(amqp_url)
    await bus.publish(event(2, "full.a"))
    refused = asyncio.create_task(bus.publish(event(3, "full.b")))
    while not refused.done():
        await bus.publish(event(4))
    with pytest.raises(PublishRefusedError, match=r"full\.b"):
        await refused
    await bus.publish(event(5))


async def test_what_was_nacked_is_tried_again_until_there_is_room(bus: CeleryEventBus, amqp_url: str) -> None:
    """Within `publish_timeout` the caller hears nothing of it, and no other publish either."""
    await bus.publish(event(1))
    declare_full(amqp_url)
    await bus.publish(event(2, "full.a"))
    waiting = [asyncio.create_task(bus.publish(event(n, "full.b"))) for n in (3, 4)]
    session = bus.publisher.session
    await until(lambda: bus.publisher.session > session, what="another try")
    for n in range(5, 10):
        await bus.publish(event(n))
    assert not any(task.done() for task in waiting)
    with channel_to(amqp_url) as channel:
        channel.queue_delete("full")
    await asyncio.gather(*waiting)
    assert set(await asyncio.to_thread(taken, amqp_url)) == set(range(1, 10))


def declare_full(url: str) -> None:
    """A queue for one event."""
    with channel_to(url) as channel:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        channel.queue_declare("full", durable=True, auto_delete=False, arguments=arguments)
        channel.queue_bind("full", "qt.events", "full.#")


async def test_a_forbidden_publish_fails_alone(make_bus: Make, node: PrivateBroker, node_url: str) -> None:
    """The broker closes the channel over it; the others in flight go over the next one. Nor need one configure."""
    allowing = keeping(make_bus(node_url))
    await allowing.publish(event(-1))
    parts = urlsplit(node_url)
    name, user = unquote(parts.path[1:]), "producer"
    for command in (
        ("add_user", user, "s3cret"),
        ("set_permissions", "-p", name, user, "", r"^qt\.events$", ""),
        ("set_topic_permissions", "-p", name, user, "qt.events", r"^allowed\.", ""),
    ):
        await asyncio.to_thread(node.rabbitmqctl, *command)
    bus = make_bus(f"amqp://{user}:s3cret@{parts.hostname}:{parts.port}{parts.path}")
    forbidden = {20, 41, 42}
    publishes = (bus.publish(event(n, "forbidden.x" if n in forbidden else "allowed.x")) for n in range(60))
    results = await asyncio.gather(*publishes, return_exceptions=True)
    assert {n for n, result in enumerate(results) if result is not None} == forbidden
    assert all(isinstance(results[n], PublishRefusedError) for n in forbidden)
    assert all("forbidden.x" in str(results[n]) and "ACCESS_REFUSED" in str(results[n]) for n in forbidden)
    await bus.publish(event(60, "allowed.x"))
    there = list(dict.fromkeys(await asyncio.to_thread(taken, node_url)))
    assert there == [n for n in range(-1, 61) if n not in forbidden]


@pytest.mark.parametrize(
    "message",
    [
        Message(b"", {"message_id": "x" * 300}),
        Message(b"", {"priority": "high"}),
        Message(b"", {"delivery_mode": 2}, {"qt-x": "x" * 140_000}),
        Message(b"", {"delivery_mode": 2}, {"qt-x": object()}),
    ],
    ids=["long property", "wrong property", "long headers", "wrong header"],
)
async def test_an_unsendable_message_fails_alone(bus: CeleryEventBus, amqp_url: str, message: Message) -> None:
    """Nothing of it is written, and delivery tags go on being right."""
    unsendable = bus.publisher.ask(Publish(bus.topology.events, "number.drawn", message))
    results = await asyncio.gather(
        bus.publish(event(1)), unsendable, *(bus.publish(event(n)) for n in range(2, 20)), return_exceptions=True
    )
    assert isinstance(results.pop(1), PublishRefusedError)
    assert results == [None] * 19
    assert bus.publisher.session == 1
    assert await asyncio.to_thread(taken, amqp_url) == list(range(1, 20))


async def test_an_exchange_that_is_missing_is_declared_again(bus: CeleryEventBus, amqp_url: str) -> None:
    """Somebody deleted it: one publish tells so, those after it work."""
    await bus.publish(event(1))
    with channel_to(amqp_url) as channel:
        channel.exchange_delete("qt.events")
    with pytest.raises(PublishRefusedError, match="no exchange"):
        await bus.publish(event(2))
    await bus.publish(event(3))
    assert bus.get_stats()["unroutable"] == 1  # its bindings are gone with it until a worker starts


# Bounded


async def test_publishing_waits_for_room_and_goes_on(make_bus: Make, amqp_url: str) -> None:
    """Never more than max_queue_size are in flight, and all come through."""
    bus, most = keeping(make_bus(amqp_url, max_queue_size=3)), 0

    async def watched(number: int) -> None:
        nonlocal most
        await bus.publish(event(number))
        most = max(most, bus.publisher.in_flight)

    await asyncio.gather(*(watched(number) for number in range(100)))
    assert most <= 3
    assert bus.publisher.in_flight == 0
    assert len(await asyncio.to_thread(taken, amqp_url)) == 100


async def test_no_room_in_time_is_backpressure(make_bus: Make, harmed: PrivateBroker, node_url: str) -> None:
    """Those in flight have a timeout, those without room another error; then nothing is left of either."""
    bus = keeping(make_bus(node_url, publish_timeout=SHORT, max_queue_size=3))
    await bus.publish(event(1))
    harmed.suspend()
    with within(SHORT):
        errors = await asyncio.gather(*(bus.publish(event(-1)) for _ in range(5)), return_exceptions=True)
    harmed.resume()
    assert [type(error) for error in errors[:3]] == [PublishTimeoutError] * 3
    assert all(isinstance(error, BackpressureError) and "max_queue_size=3" in str(error) for error in errors[3:])
    assert (bus.publisher.in_flight, len(bus.publisher._room)) == (0, 0)  # noqa: SLF001
    await until_told(lambda: published(bus))


async def test_a_cancelled_publish_leaves_nothing_behind(make_bus: Make, harmed: PrivateBroker, node_url: str) -> None:
    """In flight or waiting for room, its place is free at once."""
    bus = keeping(make_bus(node_url, max_queue_size=3))
    await bus.publish(event(1))
    harmed.suspend()
    tasks = [asyncio.create_task(bus.publish(event(-1))) for _ in range(6)]
    await until(lambda: bus.publisher.in_flight == 3 and len(bus.publisher._room) == 3)  # noqa: SLF001
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    harmed.resume()
    assert (bus.publisher.in_flight, len(bus.publisher._room)) == (0, 0)  # noqa: SLF001
    assert len(bus.outstanding) == 1  # the first one, which nobody serves
    await bus.publish(event(2))


async def test_nothing_piles_up_while_the_broker_is_away(make_bus: Make) -> None:
    """What ended in an error is not kept for later."""
    (port,) = free_ports(1)
    bus = make_bus(f"amqp://guest:guest@127.0.0.1:{port}//", publish_timeout=0.2)
    for _ in range(3):
        await asyncio.gather(*(bus.publish(event()) for _ in range(50)), return_exceptions=True)
    assert len(bus.publisher._outbox) == 0  # noqa: SLF001


# A network that is slow, and stammers


class Relay:
    """Passes bytes on between a publisher and the broker; `delay` seconds late, and in halves when told so."""

    def __init__(self, url: str, delay: float = 0.0) -> None:
        self._broker, self._delay = urlsplit(url), delay
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = self._broker._replace(netloc=f"guest:guest@127.0.0.1:{self._server.getsockname()[1]}").geturl()
        self.halve, self.halved, self.go_on = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        client, _ = self._server.accept()
        broker = socket.create_connection((self._broker.hostname or "", self._broker.port or 0))
        with client, broker:
            while True:
                for source in select.select([client, broker], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is broker:
                        self._pass_on(data, client)
                    else:
                        broker.sendall(data)

    def _pass_on(self, data: bytes, client: socket.socket) -> None:
        time.sleep(self._delay)
        if self.halve.is_set():
            client.sendall(data[:9])
            data = data[9:]
            self.halved.set()
            self.go_on.wait()
        client.sendall(data)

    def close(self) -> None:
        self._server.close()
        self._thread.join()


async def test_publishes_share_the_way_to_the_broker(make_bus: Make, amqp_url: str) -> None:
    """Many in flight take a fraction of the time of one after the other, here over a way of 10 ms."""
    relay = Relay(amqp_url, delay=0.01)
    bus = keeping(make_bus(relay.url))
    await bus.publish(event())
    started = time.monotonic()
    for number in range(100):
        await bus.publish(event(number))
    one_by_one = time.monotonic() - started
    started = time.monotonic()
    await asyncio.gather(*(bus.publish(event(number)) for number in range(100)))
    together = time.monotonic() - started
    assert together < one_by_one / 3
    await asyncio.to_thread(bus.close)
    relay.close()


async def test_half_a_frame_is_waited_for_without_burning_the_processor(make_bus: Make, amqp_url: str) -> None:
    """The rest of a confirm comes a second later: it counts, and nothing spins meanwhile."""
    relay = Relay(amqp_url)
    bus = keeping(make_bus(relay.url))
    await bus.publish(event(1))
    relay.halve.set()
    publishing = asyncio.create_task(bus.publish(event(2)))
    await until(relay.halved.is_set)
    before = time.process_time()
    await asyncio.sleep(1.0)  # how long the frame is in two halves is what is tested
    burnt = time.process_time() - before
    relay.halve.clear()
    relay.go_on.set()
    await publishing
    await bus.publish(event(3))
    assert burnt < 0.2
    assert bus.publisher.session == 1
    await asyncio.to_thread(bus.close)
    relay.close()
    assert await asyncio.to_thread(taken, amqp_url) == [1, 2, 3]


def test_errors_of_the_broker_can_be_caught_together() -> None:
    """Whoever publishes again need know one class only; those of time are TimeoutErrors too."""
    for error in (BrokerUnreachableError, BrokerBlockedError, PublishTimeoutError, PublishRefusedError):
        assert issubclass(error, BrokerError)
    assert issubclass(BrokerBlockedError, TimeoutError)
