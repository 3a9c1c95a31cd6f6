"""Handlers that use Django's ORM: a database connection that was cut costs no event."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from qt_events import CeleryEventBus
from qt_events.testing.contract.recorder import RECORDS
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import publish
from tests.support.waiting import PATIENCE, until

APP = Path(__file__).parent / "apps" / "django_app.py"
POOLS = {
    "asyncio": ("-c", "1"),
    "prefork": ("-P", "processes", "-c", "1"),
    "threads": ("-P", "threads", "-c", "1"),
    "solo": ("-P", "solo"),
}
HANDLERS = ("plain", "waiting")

#: Have an event of this type handled.
Handle = Callable[[str], Awaitable[object]]


async def cut(url: str, backend: str) -> None:
    """End a connection from the database's side, as a restart or a firewall does."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
        found = await admin.execute("SELECT pg_terminate_backend(%s, 20000)", [int(backend)])
        assert await found.fetchone() == (True,)


async def check(fleet: Fleet, url: str, handle: Handle) -> None:
    """Cut the connection between events. The first event after it may need a second attempt."""
    for handler in HANDLERS:
        used: set[str] = set()
        for number in range(1, 4):
            await handle(handler)
            await fleet.until_called(handler, number)
            backend = fleet.recorder.read("backend")[-1].name
            assert backend not in used
            used.add(backend)
            await cut(url, backend)


@pytest.mark.parametrize(
    ("pool", "middleware"),
    [
        ("asyncio", False),
        ("asyncio", True),
        ("prefork", False),
        ("threads", False),
        ("solo", False),
    ],
)
async def test_a_worker_recovers_from_a_lost_database_connection(
    pool: str, middleware: bool, fleet: Fleet, client: CeleryEventBus, postgres_url: str
) -> None:
    """Handlers of both kinds, on every pool: no dead letter."""
    program = ("-m", "celery", "-A", "django_app", "worker")
    environment: Any = {"DJANGO_MIDDLEWARE": "1"} if middleware else {}
    await fleet.start(*POOLS[pool], program=program, DJANGO_DATABASE=postgres_url, **environment)
    await check(fleet, postgres_url, lambda handler: publish(client, handler))
    for handler in HANDLERS:
        assert await client.dead_letters.list(handler) == []


@pytest.fixture
def program(request: pytest.FixtureRequest, fleet: Fleet, postgres_url: str) -> Iterator[Handle]:
    """Run a program that runs its own bus and publishes what it is asked for."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
        "FLEET_URL": fleet.url,
        "DJANGO_DATABASE": postgres_url,
        RECORDS: str(fleet.recorder.path),
    }
    command = [sys.executable, str(APP), request.param]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None

        async def handle(handler: str) -> None:
            await until(lambda: fleet.ready, what="the program to run")
            print(handler, file=running.stdin, flush=True)

        yield handle
        running.stdin.close()
        assert running.wait(PATIENCE) == 0


@pytest.mark.parametrize("program", ["memory", "rabbitmq"], indirect=True)
async def test_a_program_recovers_from_a_lost_database_connection(
    fleet: Fleet, postgres_url: str, program: Handle
) -> None:
    """In memory and in run_forever() as in a worker."""
    await check(fleet, postgres_url, program)


WITHOUT_A_DATABASE = """
import asyncio, threading
import django
from asgiref.sync import sync_to_async
from django.conf import settings
settings.configure(DATABASES={})
django.setup()
from qt_events import Event, InMemoryEventBus

async def main():
    bus, busy, go, quick = InMemoryEventBus(), threading.Event(), threading.Event(), asyncio.Event()

    def block():
        busy.set()
        go.wait(30)

    async def slow(event):
        await sync_to_async(block)()

    async def other(event):
        quick.set()

    bus.subscribe("other", other, name="other")
    bus.subscribe("slow", slow, name="slow")
    async with bus:
        await bus.publish(Event("other"))
        await bus.join()
        quick.clear()
        await bus.publish(Event("slow"))
        await asyncio.to_thread(busy.wait, 30)
        await bus.publish(Event("other"))
        await asyncio.wait_for(quick.wait(), 20)
        go.set()

asyncio.run(main())
"""


def test_async_handlers_without_a_database_do_not_wait_for_each_other() -> None:
    """Django's async ORM has one thread, in which a handler may be slow."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_DATABASE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
