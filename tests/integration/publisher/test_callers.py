"""Callers of `publish`: loops, threads, forked children, exiting programs; one connection each."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qt_events import Event
from qt_events.errors import BusStateError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker.management import Management
from tests.integration.publisher.numbered_events import event, taken, within
from tests.support.buses import MakeBus
from tests.support.waiting import until_told

ROOT = Path(__file__).parents[3]


def publisher_threads() -> int:
    return sum(thread.name == "qt_events-publisher" for thread in threading.enumerate())


async def test_one_connection_serves_every_loop_and_thread(
    bus: CeleryEventBus, amqp_url: str, management: Management, vhost: str
) -> None:
    """The connection is made with the first publish."""
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
        works = [
            loop.run_in_executor(threads, (in_a_loop, in_a_thread)[n % 2], n) for n in range(8)
        ]
        await asyncio.gather(*works)
    assert publisher_threads() == before + 1
    await until_told(lambda: len(management.connections(vhost)) == 1)
    expected = [10 * number + i for number in range(8) for i in range(6)]
    assert sorted(await asyncio.to_thread(taken, amqp_url)) == expected


async def test_publish_sync_is_refused_on_an_event_loop(bus: CeleryEventBus) -> None:
    """The call would block the loop."""
    with pytest.raises(BusStateError, match="await bus"):
        bus.publish_sync(event())


async def test_a_sync_handler_publishes_with_publish_sync(make_bus: MakeBus, amqp_url: str) -> None:
    """The handler runs in a thread. Its events are caused by the event that it handles."""
    bus = make_bus(amqp_url)
    heard: list[Event[Any]] = []
    bus.subscribe(
        "ask",
        lambda asked: bus.publish_sync(event(asked.payload["number"], "answer")),
        name="asked",
    )
    bus.subscribe("answer", heard.append, name="answered")
    async with bus:
        asked = event(7, "ask")
        await bus.publish(asked)
        await bus.join(20)
    assert [(answer.payload["number"], answer.causation_id) for answer in heard] == [(7, asked.id)]


@contextmanager
def run_program(body: str, url: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program with a `bus` whose subscription keeps every event, killed on failure."""
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
    """The parent's connection goes on, though the child ends."""
    body = (
        # Python 3.12 warns of a fork beside threads.
        "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"
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


#: Forks while a thread holds every lock of the library, and of Celery's and kombu's properties.
FORKING = """
import gc, signal, threading, warnings
from kombu.utils.objects import cached_property
warnings.simplefilter("ignore", DeprecationWarning)
LOCKS = type(threading.Lock()), type(threading.RLock())

def is_known(each):
    return isinstance(each, cached_property) or str(type(each).__module__).startswith("qt_events")

def locks_of(each):
    slots = {name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())}
    # A dataclass with slots is made twice, and garbage of the first may not have gone yet.
    slots.discard("__weakref__")
    values = (getattr(each, name, None) for name in {*slots, *getattr(each, "__dict__", ())})
    return [value for value in values if isinstance(value, LOCKS)]

def hold():
    ours = [lock for lock in locks if lock.acquire(timeout=1)]
    held.set()
    forked.wait()
    for lock in ours:
        lock.release()

publish(1)
locks = [lock for each in gc.get_objects() if is_known(each) for lock in locks_of(each)]
assert len(locks) > 20, locks
held, forked = threading.Event(), threading.Event()
threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(30)
    bus.publish_sync(Event("number.guessed", None, {"number": 2}))
    bus.close()
    os._exit(0)
forked.set()
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_child_waits_for_no_lock_of_its_parents_threads(amqp_url: str) -> None:
    """Another thread of the parent may be anywhere in the library, in Celery or in kombu."""
    with run_program(FORKING, amqp_url) as program:
        ended_well(program)
    assert taken(amqp_url) == [1, 2]


def test_publishing_while_the_interpreter_exits_works_and_does_not_hang(amqp_url: str) -> None:
    """atexit handlers publish, with or without an earlier publish, and without close()."""
    with run_program(
        "import atexit; atexit.register(publish, 2)\npublish(1)\n", amqp_url
    ) as program:
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
    """Closing twice is closing once. Publishing afterwards is a named error, at once."""
    before = publisher_threads()
    bus.publish_sync(event())
    for _ in range(3):
        bus.close()
    assert publisher_threads() == before
    with within(0), pytest.raises(BusStateError, match="closed"):
        bus.publish_sync(event())
