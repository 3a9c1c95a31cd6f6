"""Servers for the tests: a broker and a PostgreSQL a run, a vhost, buses and a database a test."""

import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

from qt_events.events.event import Event, event_class
from qt_events.rabbitmq.compat.one_thread import REPORT
from qt_events.testing.broker import Broker, PrivateBroker, open_broker
from qt_events.testing.broker.management import Management
from qt_events.testing.proxy import Proxy
from tests.faults import summary
from tests.support import memory_folder
from tests.support.buses import MakeBus
from tests.support.harmed_nodes import HarmedNodes
from tests.support.ran_on import RanOn
from workers.fleet.postgres import PrivatePostgres

# A shell starts what runs in its background with Ctrl-C ignored, and processes that tests start
# would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine makes neither examples nor tests of them in the time that hypothesis expects.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary files, those of the servers too, in memory, and watch over connections."""
    config.pluginmanager.register(RanOn())
    memory_folder.use()
    report, name = tempfile.mkstemp(prefix="qt-events-one-thread-")
    os.close(report)
    os.environ[REPORT] = name


@pytest.fixture(autouse=True)
def one_thread_a_connection() -> Iterator[None]:
    """Check that no AMQP connection was used by two threads, in worker processes neither."""
    yield
    report = Path(os.environ[REPORT])
    found = report.read_text()
    report.write_text("")
    assert not found, found


def pytest_unconfigure() -> None:
    """Remove the report of that check."""
    Path(os.environ.pop(REPORT)).unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def same_classes() -> Iterator[None]:
    """Check that a test has imported no module of events anew.

    Events that come would be of the new classes, and components that were imported before would
    wait for the old ones.
    """
    yield
    for name in ("workers.events", "qt_events.events.quantum_trader"):
        for each in vars(sys.modules.get(name, object)).values():
            if isinstance(each, type) and issubclass(each, Event) and each.event_type:
                assert event_class(each.event_type) is each, f"{name} was imported anew"


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """Open the broker that all tests share; a test that does harm takes `harmed`."""
    # RabbitMQ 4 takes 16 MiB by default, and tests send more than a bus reads.
    with open_broker({"max_message_size": str(128 * 1024 * 1024)}) as opened:
        yield opened


@pytest.fixture(scope="session")
def harmed_nodes() -> Iterator[HarmedNodes]:
    """Start the node behind `harmed`, one for the whole run: a start takes six seconds."""
    nodes = HarmedNodes()
    yield nodes
    nodes.current.stop()


@pytest.fixture
def harmed(harmed_nodes: HarmedNodes) -> Iterator[PrivateBroker]:
    """Lend a node that a test may kill, suspend and block, and mend it afterwards."""
    yield harmed_nodes.current
    harmed_nodes.mend()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the last words of a harmed node with the failure of its test."""
    report = yield
    nodes = getattr(item, "funcargs", {}).get("harmed_nodes")
    if report.failed and nodes is not None:
        report.sections.append(("the harmed node's log", nodes.last_words()))
    return report


@pytest.fixture
def node_url(harmed: PrivateBroker) -> Iterator[str]:
    """Return the URL of a vhost on that node that only this test uses."""
    name = f"qt-test-{uuid.uuid4().hex}"
    yield harmed.management.create_vhost(name)
    harmed.management.delete_vhost(name)


@pytest.fixture
def management(broker: Broker) -> Management:
    """Return the shared broker's HTTP API."""
    return broker.management


@pytest.fixture
def vhost(management: Management) -> Iterator[str]:
    """Return the name of a vhost that only this test uses; it is deleted afterwards."""
    name = f"qt-test-{uuid.uuid4().hex}"
    management.create_vhost(name)
    yield name
    management.delete_vhost(name)


@pytest.fixture
def amqp_url(management: Management, vhost: str) -> str:
    """Return the AMQP URL of this test's own vhost."""
    return management.vhost_url(vhost)


@pytest.fixture
def make_bus(amqp_url: str) -> Iterator[MakeBus]:
    """Make buses, on this test's own vhost unless told otherwise, and close them afterwards."""
    factory = MakeBus(amqp_url)
    yield factory
    factory.close()


@pytest.fixture
def proxy(amqp_url: str) -> Iterator[Proxy]:
    """Open another way to the broker, which a test can slow down or close."""
    place = urlsplit(amqp_url)
    with Proxy(place.hostname or "", place.port or 0) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres() -> Iterator[PrivatePostgres]:
    """Start the server that all tests share. A test that harms it takes one of its own."""
    with PrivatePostgres() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PrivatePostgres]:
    """Start a server that a test may harm."""
    with PrivatePostgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PrivatePostgres) -> str:
    """Return the URL of a database that only this test uses."""
    return postgres.create_database(f"qt_test_{uuid.uuid4().hex}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sum up the ledgers of the fault tests."""
    reports = [report for each in terminalreporter.stats.values() for report in each]
    found = list(summary.ledgers(each for each in reports if isinstance(each, pytest.TestReport)))
    if found:
        terminalreporter.section("ledgers of the fault tests")
        for line in summary.lines(found):
            terminalreporter.write_line(line)
