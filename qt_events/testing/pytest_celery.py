"""pytest-celery's cluster on local processes, without Docker: a RabbitMQ and real `celery worker` processes.

In conftest.py: `pytest_plugins = ["qt_events.testing.pytest_celery"]`, and in pytest's configuration
`celery_app = "shop.worker"`: what follows `celery -A`. It is read, not imported, here: each worker gets its broker in
the environment, as CELERY_BROKER_URL. A test that takes `celery_setup` has a vhost of its own and
`celery_worker_count` workers, two unless overridden. docs/testing.md shows it.
"""

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import celery
import pytest
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestBroker,
    CeleryTestSetup,
    CeleryTestWorker,
    CeleryWorkerCluster,
)

from qt_events.errors import NotSupportedError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker import Broker
from qt_events.testing.worker_process import WorkerProcess

_PROCESSES = pytest.StashKey[list[WorkerProcess]]()
_POLL = 0.05  # seconds between two looks at the logs


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the workers' app is."""
    parser.addini("celery_app", "the Celery app of celery_setup's workers, as for `celery -A`")


class LocalBroker:
    """The shared broker, one vhost of it, with what pytest-celery asks of a container."""

    status = "running"

    def __init__(self, broker: Broker, url: str) -> None:
        self._broker = broker
        self.name = self.id = "rabbitmq"
        self.celeryconfig = {"url": url, "host_url": url, "vhost": url.rpartition("/")[2]}

    def ready(self) -> bool:
        """It was before the test began."""
        return True

    def logs(self) -> str:
        """They are the node's, not the vhost's."""
        return ""

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Every test shares it: NotSupportedError."""
        raise NotSupportedError(
            f"{signal}: all tests share this broker; give the test a PrivateBroker by overriding rabbitmq_broker"
        )

    def restart(self, timeout: float = 0.0) -> None:
        """See `kill`."""
        self.kill(f"restart within {timeout:g} s")

    def reload(self) -> None:
        """Nothing is cached."""

    def teardown(self) -> None:
        """Its vhost is deleted by the fixture that made it."""


class LocalSetup(CeleryTestSetup):
    """Workers of one's own app, which has no ping task: `ready` asks the processes."""

    def ready(self, ping: bool = False, control: bool = False, docker: bool = True) -> bool:  # noqa: FBT001, FBT002
        """See CeleryTestSetup; `ping` cannot be had."""
        if ping:
            raise NotSupportedError(
                "celery_setup.ready(ping=True) needs pytest-celery's own worker image; see control="
            )
        return bool(super().ready(ping=False, control=control, docker=docker))


@pytest.fixture
def celery_app_name(pytestconfig: pytest.Config) -> str:
    """What follows `celery -A`; override it for tests of another app."""
    name = str(pytestconfig.getini("celery_app"))
    if not name:
        pytest.fail("no app for the workers: set `celery_app = ...` in pytest's configuration, or override the fixture "
                    "celery_app_name", pytrace=False)  # fmt: skip
    return name


@pytest.fixture
def celery_worker_count() -> int:
    """How many workers `celery_setup` starts."""
    return 2


@pytest.fixture
def celery_worker_options() -> list[str]:
    """More options of `celery worker`, such as `["--concurrency", "4"]`."""
    return []


@pytest.fixture
def celery_worker_environment(rabbitmq_url: str) -> dict[str, str]:
    """What workers see beside the tests' own environment: the broker, and the tests' import path."""
    return {
        "CELERY_BROKER_URL": rabbitmq_url,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }


@pytest.fixture
def celery_setup_cls() -> type[CeleryTestSetup]:
    """See pytest-celery."""
    return LocalSetup


@pytest.fixture
def celery_broker_cluster(rabbitmq_broker: Broker, rabbitmq_url: str) -> CeleryBrokerCluster:
    """A vhost of the RabbitMQ that the tests share."""
    return CeleryBrokerCluster(CeleryTestBroker(LocalBroker(rabbitmq_broker, rabbitmq_url)))


@pytest.fixture
def celery_backend_cluster() -> CeleryBackendCluster | None:
    """None: events have no results."""
    return None


@pytest.fixture
def celery_worker_process(
    celery_app_name: str,
    celery_worker_environment: dict[str, str],
    celery_worker_options: list[str],
) -> Iterator[Callable[[str], WorkerProcess]]:
    """Makes worker processes, by name, not started; killed at the end of the test."""
    made: list[WorkerProcess] = []

    def make(name: str) -> WorkerProcess:
        made.append(
            WorkerProcess(celery_app_name, name, celery_worker_environment, celery_worker_options)
        )
        return made[-1]

    yield make
    for process in made:
        process.teardown()


@pytest.fixture
def celery_worker_cluster(
    request: pytest.FixtureRequest,
    celery_setup_app: celery.Celery,
    celery_worker_process: Callable[[str], WorkerProcess],
    celery_worker_count: int,
) -> "WorkerCluster":
    """The workers, started together, each ready."""
    processes = [
        celery_worker_process(f"worker{number}") for number in range(1, celery_worker_count + 1)
    ]
    for process in processes:
        process.start()
    request.node.stash[_PROCESSES] = processes
    for process in processes:
        process.ready()
    return WorkerCluster(*(Worker(process, celery_setup_app) for process in processes))


@pytest.fixture
def celery_event_bus(rabbitmq_url: str) -> "Iterator[CeleryEventBus]":
    """A bus that publishes to the workers: `publish_sync` in a plain test, `await publish` in an async one."""
    bus = CeleryEventBus(rabbitmq_url)
    yield bus
    bus.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails reports what its workers wrote."""
    report = yield
    if report.failed:
        report.sections += [
            (f"log of {each.name}", each.logs()) for each in item.stash.get(_PROCESSES, [])
        ]
    return report


class Worker(CeleryTestWorker):
    """See CeleryTestWorker."""

    container: WorkerProcess

    def get_running_processes_info(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        """Asked by a program inside of pytest-celery's image: NotSupportedError."""
        raise NotSupportedError(
            "there is no container to look into: worker.container.id is the worker's process id"
        )


class WorkerCluster(CeleryWorkerCluster):
    """See CeleryWorkerCluster."""

    def logs(self) -> str:
        """Of all workers, one after the other."""
        return "\n".join(node.logs() for node in self)

    def wait_for_log(self, *texts: str, timeout: float = 60.0) -> None:
        """Return when each of the texts was written by any of the workers; AssertionError that names those missing."""
        deadline = time.monotonic() + timeout
        while missing := [text for text in texts if text not in self.logs()]:
            assert time.monotonic() < deadline, (
                f"not in any worker's log within {timeout:g} s: {missing}"
            )
            time.sleep(_POLL)
