"""One failure is one event at Sentry, on every pool and in a program that runs its own bus."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import amqp
import pytest

from qt_events import CeleryEventBus
from qt_events.testing.contract.recorder import RECORDS
from tests.support.channels import channel_to, depth
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import one_dead_letter, publish
from tests.support.waiting import PATIENCE, until_told

APP = Path(__file__).parent / "apps" / "sentry_app.py"
HANDLERS = ("plain", "waiting", "rejecting")
POOLS = {
    "asyncio": (),
    "prefork": ("-P", "processes", "-c", "1"),
    "threads": ("-P", "threads"),
    "solo": ("-P", "solo"),
}


def told_of(fleet: Fleet, text: str) -> int:
    return sum(text in call.name for call in fleet.recorder.read("sentry"))


@pytest.mark.parametrize("pool", POOLS)
async def test_a_worker_tells_each_failure_once(
    pool: str, fleet: Fleet, client: CeleryEventBus, amqp_url: str
) -> None:
    """An attempt that is repeated is none. The last one is, and so is an unreadable message."""
    program = ("-m", "celery", "-A", "sentry_app", "worker")
    worker = await fleet.start(*POOLS[pool], program=program)
    events = [await publish(client, handler) for handler in HANDLERS]
    for handler in HANDLERS:
        await one_dead_letter(client, handler)
    with channel_to(amqp_url) as channel:
        unreadable = amqp.Message("no JSON", message_id="unreadable-1")
        channel.basic_publish(unreadable, "qt.events", "plain")
    await until_told(lambda: depth(amqp_url, "qt.dead.plain") == 2)
    # Its last words are told by now.
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    assert [told_of(fleet, event.id) for event in events] == [1, 1, 1]
    assert told_of(fleet, "unreadable-1") == 1
    assert len(fleet.recorder.read("sentry")) == 4
    # With the handler's own error and the lines of its code.
    assert told_of(fleet, 'message = f"broken by {event.id}"'.replace('"', '\\"')) == 2


@pytest.mark.parametrize("backend", ["memory", "rabbitmq"])
def test_a_program_tells_each_failure_once(backend: str, fleet: Fleet) -> None:
    """In memory, and in run_forever()."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
        "FLEET_URL": fleet.url,
        RECORDS: str(fleet.recorder.path),
    }
    done = subprocess.run(
        [sys.executable, str(APP), backend],
        env=environment,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=True,
    )
    ids = done.stdout.split()
    assert [told_of(fleet, each) for each in ids] == [1, 1, 1]
    assert len(fleet.recorder.read("sentry")) == 3
