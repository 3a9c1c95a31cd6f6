"""pytest-celery's cluster on local processes, tested by a pytest run in its own process."""

from pathlib import Path
from uuid import uuid4

import pytest

from qt_events.errors import NotSupportedError
from qt_events.testing.broker import Broker
from qt_events.testing.pytest_celery import LocalBroker
from qt_events.testing.worker_process import WorkerFailedError, WorkerProcess

pytest_plugins = ["pytester"]

# Without plugins that happen to be installed here.
OTHERS = ("anyio", "cacheprovider", "hypothesispytest", "timeout", "xdist", "xdist.looponfail")
LEAN = [part for name in OTHERS for part in ("-p", f"no:{name}")]

DESK = """
import os
import celery
from qt_events import CeleryEventBus

app = celery.Celery("desk", broker=os.environ["CELERY_BROKER_URL"])
bus = CeleryEventBus(app=app)

async def book(event):
    print(f"booked {event.payload['order']}.", flush=True)

bus.subscribe("order.placed", book, name="book", concurrency=20)
"""

TAKEN_OVER = """
from qt_events import Event

def place(bus, *orders):
    for order in orders:
        bus.publish_sync(Event("order.placed", payload={"order": order}), mandatory=True)

def test_the_other_takes_over(celery_setup, celery_event_bus):
    first, second = celery_setup.worker_cluster
    assert celery_setup.ready(control=True)
    assert first.hostname() != second.hostname()
    place(celery_event_bus, *range(10))
    first.kill()
    assert first.container.status == "exited"
    place(celery_event_bus, *range(10, 20))
    celery_setup.worker_cluster.wait_for_log(*(f"booked {order}." for order in range(20)))

    first.restart()
    second.kill("SIGTERM")
    second.assert_log_exists("Warm shutdown")
    place(celery_event_bus, 20)
    first.wait_for_log("booked 20.")
"""


@pytest.fixture
def desk(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, broker: Broker) -> str:
    """Make a project with an app of a unique name, on the RabbitMQ of this test run."""
    monkeypatch.setenv("QT_EVENTS_TEST_MANAGEMENT_URL", broker.management_url)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    name = f"desk_{uuid4().hex}"
    pytester.makepyfile(**{name: DESK})
    pytester.makeconftest("pytest_plugins = ['qt_events.testing.pytest_celery']")
    configure(pytester, broker, f"celery_app = {name}")
    return name


def configure(pytester: pytest.Pytester, broker: Broker, *lines: str) -> None:
    head = ["[pytest]", "filterwarnings = error", "pythonpath = .", f"event_bus = {broker.url}"]
    asyncio = "asyncio_default_fixture_loop_scope = function"
    pytester.makefile(".ini", pytest="\n".join([*head, asyncio, *lines]))


def run(pytester: pytest.Pytester, tests: str) -> pytest.RunResult:
    pytester.makepyfile(test_desk=tests)
    return pytester.runpytest_subprocess(*LEAN, "test_desk.py", timeout=110)


def processes_of(name: str) -> list[bytes]:
    """Return the command lines that contain the name, on the whole machine."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = each.read_bytes()
        # The process has just ended.
        except OSError:
            continue
        if name.encode() in command:
            found.append(command)
    return found


def test_a_worker_is_killed_and_the_other_takes_over(pytester: pytest.Pytester, desk: str) -> None:
    """Every event is handled, a killed worker comes back, and no process is left."""
    run(pytester, TAKEN_OVER).assert_outcomes(passed=1)
    assert processes_of(desk) == []


def test_a_test_that_fails_shows_the_workers_logs_and_one_without_workers_says_why(
    pytester: pytest.Pytester, desk: str, broker: Broker
) -> None:
    """A failure shows the logs and leaves no process. The project's own fixtures win.

    An app that cannot be imported is an error at once, with the worker's words; without an app the
    error names the setting and the fixture.
    """
    configure(pytester, broker)
    tests = """
import pytest
@pytest.fixture
def celery_worker_count():
    return 1
def test_unnamed(celery_setup): ...
class TestUnknown:
    @pytest.fixture
    def celery_app_name(self):
        return "nowhere_at_all"
    def test(self, celery_setup): ...
class TestKnown:
    @pytest.fixture
    def celery_app_name(self):
        return "DESK"
    def test_fails(self, celery_setup):
        assert len(celery_setup.worker_cluster) == 2
"""
    result = run(pytester, tests.replace("DESK", desk))
    result.assert_outcomes(errors=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_unnamed*",
            "no app for the workers: set `celery_app = ...`*celery_app_name",
            "*ERROR at setup of TestUnknown*",
            "*WorkerFailedError: worker1 ended before it was ready:",
            "*nowhere_at_all*",
            "*test_fails*",
            "*- log of worker1 -*",
            "*worker1@* ready.",
        ]
    )
    assert processes_of(desk) == []


def test_what_local_processes_cannot_do_is_a_named_error(amqp_url: str) -> None:
    """The broker belongs to all tests, so one test cannot kill or restart it."""
    with pytest.raises(NotSupportedError, match="all tests share this broker"):
        LocalBroker(amqp_url).kill()
    with pytest.raises(NotSupportedError, match="PrivateBroker"):
        LocalBroker(amqp_url).restart()


def test_a_worker_that_ends_while_it_starts_is_an_error_with_its_log() -> None:
    """The worker's folder is removed with it."""
    process = WorkerProcess("nowhere_at_all", "lost", {})
    process.start()
    with pytest.raises(WorkerFailedError, match="nowhere_at_all"):
        process.ready()
    assert process.status == "exited"
    process.teardown()
    assert process.logs() == ""
