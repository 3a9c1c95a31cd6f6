"""Buses without the private names of py-amqp, kombu and Celery: slower, with one warning.

The names are hidden from the check in a process of its own. The libraries keep them, because they
use them themselves.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from qt_events.rabbitmq.compat import names
from qt_events.rabbitmq.compat.names import CONNECTING, TABLE, Internals

ROOT = Path(__file__).parents[2]
# What a bus imports for a second of CPU, without the part of it that is tested.
LIBRARIES = (
    "celery.apps.worker",
    "celery.worker.consumer",
    "kombu.transport.pyamqp",
    "qt_events.memory",
)
NAMES = {each: name for name, each in vars(names).items() if isinstance(each, Internals)}
#: Those that a process with a bus inside checks. Prefork's are checked by a worker that uses it.
CHECKED = [each for each in TABLE if each not in (CONNECTING, names.PREFORK)]

#: Forks itself for each program that it reads, and writes the exit status.
FORKING = """
import importlib, json, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
assert not [name for name in sys.modules if name.startswith("qt_events.rabbitmq")]
for line in sys.stdin:
    program, sys.argv[1:], *files = json.loads(line)
    child = os.fork()
    if not child:
        for number, path in enumerate(files, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

HIDE = """
import sys
from qt_events.rabbitmq.compat import names
for name in sys.argv[2].split(","):
    setattr(names, name, getattr(names, name)._replace(names=("amqp:gone",)))
"""

#: Publishes, serves, retries, refuses, buries and sends events for monitors, each once or often.
PROGRAM = (
    HIDE
    + """
import asyncio, celery
from qt_events import Event, RetryPolicy
from qt_events.errors import PublishRefusedError, UnroutableError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.messages.properties import Content
from qt_events.rabbitmq.publishing.requests import PublishRequest

app = celery.Celery("compat", broker=sys.argv[1], set_as_current=False)
app.conf.worker_send_task_events = True
bus = CeleryEventBus(app=app)
heard, failed = [], []

async def on_loop(event):
    await asyncio.sleep(0)
    heard.append(event.payload["number"])

def in_thread(event):
    heard.append(event.payload["number"])

async def once_more(event):
    failed.append(event.payload["number"])
    if len(failed) % 2:
        raise OSError("not yet")

async def never(event):
    raise ValueError("never")

bus.subscribe("number.drawn", on_loop, name="on_loop", concurrency=10)
bus.subscribe("number.drawn", in_thread, name="in_thread")
bus.subscribe("number.odd", once_more, name="odd", retry=RetryPolicy(initial=0.1, jitter=0))
bus.subscribe("number.bad", never, name="bad", retry=RetryPolicy(max_attempts=1))

def number(n, type="number.drawn", **more):
    return Event(type, None, {"number": n, **more})

async def main():
    async with bus:
        await asyncio.gather(*(bus.publish(number(n)) for n in range(200)))
        await bus.publish(number(200, text="x" * 300_000))
        await bus.publish(number(1, "number.odd"))
        await bus.publish(number(2, "number.bad"))
        try:
            await bus.publish(number(3, "nobody.hears"), mandatory=True)
        except UnroutableError:
            print("unroutable")
        unsendable = Content(b"", {}, {"qt-x": "x" * 140_000})
        try:
            await bus.publisher.ask(PublishRequest("qt.events", "number.drawn", unsendable))
        except PublishRefusedError:
            print("refused")
        await bus.join(60)
    assert sorted(heard) == sorted([*range(201), *range(201)]), len(heard)
    assert failed == [1, 1], failed
    (dead,) = await bus.dead_letters.list("bad")
    await bus.dead_letters.discard(dead.id)
    assert await bus.dead_letters.list("bad") == []
    stats = bus.get_stats()
    assert (stats["delivered"], stats["dead_letters"], stats["retries"]) == (403, 1, 1), stats
    assert bus.publisher.state.channels == 1, "the connection stood all the time"
    print("all is well")

asyncio.run(main())
"""
)


class Ended(NamedTuple):
    """Result of a process."""

    status: int
    stdout: str
    stderr: str


Run = Callable[..., Ended]
LIMIT = 90.0  # seconds for one program


@pytest.fixture(scope="module")
def forking() -> Iterator["subprocess.Popen[str]"]:
    """Start a process that has imported the libraries, for programs that need them again."""
    with subprocess.Popen(
        [sys.executable, "-c", FORKING, *LIBRARIES],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "always::RuntimeWarning"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def run(forking: "subprocess.Popen[str]", amqp_url: str, tmp_path: Path) -> Run:
    """Run a program in a process of its own, with the hidden names as an argument."""

    def run(program: str, *hidden: Internals) -> Ended:
        assert forking.stdin is not None
        assert forking.stdout is not None
        out, err = tmp_path / "out", tmp_path / "err"
        arguments = [amqp_url, ",".join(NAMES[each] for each in hidden)]
        print(json.dumps([program, arguments, str(out), str(err)]), file=forking.stdin, flush=True)
        if not select.select([forking.stdout], [], [], LIMIT)[0]:
            # The other tests get no answer either.
            forking.kill()
            pytest.fail(f"no end within {LIMIT:g} s: {err.read_text()}")
        return Ended(int(forking.stdout.readline()), out.read_text(), err.read_text())

    return run


def losses(process: Ended) -> list[str]:
    """Return the losses that the warnings name."""
    lines = [line for line in process.stderr.splitlines() if " has no amqp:gone" in line]
    return [line.rpartition(" has: ")[2] for line in lines]


@pytest.mark.parametrize("internals", CHECKED, ids=NAMES.get)
def test_a_bus_works_without_one_part_of_the_names(run: Run, internals: Internals) -> None:
    process = run(PROGRAM, internals)
    assert process.status == 0, process.stderr
    assert process.stdout.split("\n") == ["unroutable", "refused", "all is well", ""]
    assert losses(process) == [internals.without]


def test_a_bus_works_without_any_of_them(run: Run) -> None:
    process = run(PROGRAM, *CHECKED)
    assert process.status == 0, process.stderr
    assert process.stdout.endswith("all is well\n")
    assert sorted(losses(process)) == sorted(each.without for each in CHECKED)


def test_with_all_of_them_nothing_is_said(run: Run) -> None:
    program = PROGRAM.removeprefix(HIDE)
    process = run("import sys\n" + program)
    assert process.status == 0, process.stderr
    assert losses(process) == []


def test_without_those_of_kombus_connection_the_import_fails(run: Run) -> None:
    """TLS would verify no host: nothing must go on."""
    process = run(HIDE + "import qt_events.rabbitmq.bus", CONNECTING)
    assert process.status == 1
    assert process.stderr.splitlines()[-1].endswith("qt_events needs kombu 5.7")


def test_a_prefork_worker_without_its_names_says_so_when_it_stops(run: Run) -> None:
    """No other worker has use for them."""
    program = (
        HIDE
        + """
from types import SimpleNamespace
from celery.concurrency.prefork import TaskPool
from qt_events.rabbitmq.compat.celery_worker import remembering
pool = TaskPool.__new__(TaskPool)
pool._pool = SimpleNamespace(_cache={1: SimpleNamespace(_write_to=object())})
for other in (pool, SimpleNamespace()):
    with remembering(other):
        pool._pool._cache.clear()
assert not pool._pool._cache
"""
    )
    process = run(program, names.PREFORK)
    assert process.status == 0, process.stderr
    assert losses(process) == [names.PREFORK.without]
