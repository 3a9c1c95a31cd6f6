"""pytest-celery's cluster on local processes, without Docker: RabbitMQ and `celery worker`s.

Write `pytest_plugins = ["qt_events.testing.pytest_celery"]` in conftest.py, and `celery_app =
"shop.worker"` in pytest's configuration: the name that follows `celery -A`. The app is not imported
by the tests. Each worker finds its broker in the environment, as CELERY_BROKER_URL. A test that
takes `celery_setup` has a vhost of its own and `celery_worker_count` workers, two unless
overridden. docs/testing.md shows it.
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
from qt_events.testing.worker_process import WorkerProcess

_PROCESSES = pytest.StashKey[list[WorkerProcess]]()
# Seconds between two reads of the logs
_POLL = 0.05


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting that names the workers' app."""
    parser.addini("celery_app", "the Celery app of celery_setup's workers, as for `celery -A`")


class LocalBroker:
    """One vhost of the shared broker, with the interface of pytest-celery's container.

    It was ready before the test began, its logs are the node's, and the fixture that made the vhost
    deletes it. To kill or restart what all tests share is a NotSupportedError.
    """

    status = "running"

    def __init__(self, url: str) -> None:
        self.name = self.id = "rabbitmq"
        self.celeryconfig = {"url": url, "host_url": url, "vhost": url.rpartition("/")[2]}

    def ready(self) -> bool:
        return True

    def logs(self) -> str:
        return ""

    def kill(self, signal: str | int = "SIGKILL") -> None:
        raise NotSupportedError(
            f"{signal}: all tests share this broker; give the test a PrivateBroker by overriding "
            "rabbitmq_broker"
        )

    def restart(self, timeout: float = 0.0) -> None:
        self.kill(f"restart within {timeout:g} s")

    def reload(self) -> None: ...

    def teardown(self) -> None: ...


class LocalSetup(CeleryTestSetup):
    """Workers of your own app, which has no ping task: `ready` asks the processes instead."""

    def ready(
        self,
        ping: bool = False,  # noqa: FBT001, FBT002
        control: bool = False,  # noqa: FBT001, FBT002
        docker: bool = True,  # noqa: FBT001, FBT002
    ) -> bool:
        """Return True when everything is ready; `ping` is a NotSupportedError."""
        if ping:
            raise NotSupportedError(
                "celery_setup.ready(ping=True) needs pytest-celery's own worker image; see control="
            )
        return bool(super().ready(ping=False, control=control, docker=docker))


@pytest.fixture
def celery_app_name(pytestconfig: pytest.Config) -> str:
    """Return the name that follows `celery -A`; override it for tests of another app."""
    name = str(pytestconfig.getini("celery_app"))
    if not name:
        pytest.fail(
            "no app for the workers: set `celery_app = ...` in pytest's configuration, or override "
            "the fixture celery_app_name",
            pytrace=False,
        )
    return name


@pytest.fixture
def celery_worker_count() -> int:
    """Return the number of workers that `celery_setup` starts."""
    return 2


@pytest.fixture
def celery_worker_options() -> list[str]:
    """Return more options of `celery worker`, such as `["--concurrency", "4"]`."""
    return []


@pytest.fixture
def celery_worker_environment(rabbitmq_url: str) -> dict[str, str]:
    """Return the workers' broker and import path, added to the tests' environment."""
    return {
        "CELERY_BROKER_URL": rabbitmq_url,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }


@pytest.fixture
def celery_setup_cls() -> type[CeleryTestSetup]:
    """Return the class that pytest-celery makes `celery_setup` of."""
    return LocalSetup


@pytest.fixture
def celery_broker_cluster(rabbitmq_url: str) -> CeleryBrokerCluster:
    """Return a vhost of the RabbitMQ that the tests share."""
    return CeleryBrokerCluster(CeleryTestBroker(LocalBroker(rabbitmq_url)))


@pytest.fixture
def celery_backend_cluster() -> CeleryBackendCluster | None:
    """Return None: events have no results."""
    return None


@pytest.fixture
def celery_worker_process(
    celery_app_name: str,
    celery_worker_environment: dict[str, str],
    celery_worker_options: list[str],
) -> Iterator[Callable[[str], WorkerProcess]]:
    """Make worker processes by name, not started; kill them at the end of the test."""
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
    """Start the workers together and return them when all are ready."""
    names = [f"worker{number}" for number in range(1, celery_worker_count + 1)]
    processes = [celery_worker_process(name) for name in names]
    for process in processes:
        process.start()
    request.node.stash[_PROCESSES] = processes
    for process in processes:
        process.ready()
    return WorkerCluster(*(Worker(process, celery_setup_app) for process in processes))


@pytest.fixture
def celery_event_bus(rabbitmq_url: str) -> Iterator[CeleryEventBus]:
    """Open a bus that publishes to the workers, by `publish_sync` or `await publish`."""
    bus = CeleryEventBus(rabbitmq_url)
    yield bus
    bus.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the workers' logs to the report of a test that fails."""
    report = yield
    if report.failed:
        report.sections += [
            (f"log of {each.name}", each.logs()) for each in item.stash.get(_PROCESSES, [])
        ]
    return report


class Worker(CeleryTestWorker):
    """CeleryTestWorker that is a local process."""

    container: WorkerProcess

    def get_running_processes_info(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        """Refuse with NotSupportedError: only pytest-celery's own image can answer."""
        raise NotSupportedError(
            "there is no container to look into: worker.container.id is the worker's process id"
        )


class WorkerCluster(CeleryWorkerCluster):
    """CeleryWorkerCluster whose logs can be waited for."""

    def logs(self) -> str:
        """Return the logs of all workers, one after the other."""
        return "\n".join(node.logs() for node in self)

    def wait_for_log(self, *texts: str, timeout: float = 60.0) -> None:
        """Return when any worker has written each text; AssertionError names the missing ones."""
        deadline = time.monotonic() + timeout
        while missing := [text for text in texts if text not in self.logs()]:
            assert time.monotonic() < deadline, (
                f"not in any worker's log within {timeout:g} s: {missing}"
            )
            time.sleep(_POLL)
