"""The pytest plugin: `event_bus` and its options. docs/testing.md shows it.

The plugin stands outside of qt_events because pytest imports it at every start. Importing it from
inside would load all of qt_events, which takes time and runs lines before coverage begins.
"""

import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

try:
    import pytest_asyncio
except ImportError:
    # The fixtures below say so when a test asks for them.
    pytest_asyncio = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from qt_events.outbox import Outbox
    from qt_events.testing.broker import Broker
    from qt_events.testing.buses import Buses, Choice  # noqa: F401  # used in a string
    from qt_events.testing.observed import ObservedEventBus
    from qt_events.testing.observed_outbox import ObservedOutbox

    OpenBus = Callable[..., Awaitable[ObservedEventBus]]

pytest.register_assert_rewrite("qt_events.testing.contract")

_MARKER = (
    "event_bus(backend=None, allow_leftovers=None, **options): how the fixture event_bus is made. "
    "backend is memory, eager or rabbitmq, whatever --event-bus says. allow_leftovers keeps the "
    "end of the test from failing over dead letters and deliveries without an outcome. options "
    "are those of the bus, such as max_queue_size"
)
_FAILED = pytest.StashKey[bool]()
_BUSES = pytest.StashKey["Buses"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options, each also a setting of pytest's configuration file."""
    about = (
        "backend of the fixture event_bus: memory, eager, rabbitmq (a private node) or "
        "amqp://user:password@host:5672// (with the management API)"
    )
    parser.getgroup("qt_events").addoption("--event-bus", metavar="BUS", help=about)
    parser.addini("event_bus", about, default="memory")
    parser.addini(
        "event_bus_allow_leftovers",
        "whether a test may end with dead letters it did not expect",
        "bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and refuse a mistaken option before any test runs."""
    config.addinivalue_line("markers", _MARKER)
    if _chosen(config) != "memory":
        _choice(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the bus, unless it is the usual one."""
    return None if _chosen(config) == "memory" else f"event bus: {_choice(config).backend}"


def _chosen(config: pytest.Config) -> str:
    return str(config.getoption("event_bus") or config.getini("event_bus"))


def _choice(config: pytest.Config) -> "Choice":
    from qt_events.errors import InvalidOptionError
    from qt_events.testing.buses import Choice

    try:
        return Choice.of(_chosen(config))
    except InvalidOptionError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class,  # noqa: ARG001  # pytest gives it by this name
) -> Generator[None, Any, Any]:
    """Mark coroutines that ask for a bus as tests of pytest-asyncio, in its strict mode too."""
    found = yield
    for item in found if isinstance(found, list) else [found]:
        if isinstance(item, pytest.Function) and _needs_loop(item):
            # Before pytest-asyncio looks, whose wrapper is around this one.
            item.add_marker("asyncio")
    return found


def _needs_loop(item: pytest.Function) -> bool:
    is_ours = not {"event_bus", "event_bus_factory"}.isdisjoint(item.fixturenames)
    is_marked = any(item.get_closest_marker(name) for name in ("asyncio", "anyio"))
    return is_ours and not is_marked and inspect.iscoroutinefunction(item.obj)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what happened on the bus to the report of a test that fails."""
    report = yield
    if call.excinfo is not None:
        item.stash[_FAILED] = True
        buses = item.stash.get(_BUSES, None)
        if report.failed and buses is not None and "what happened:" not in str(call.excinfo.value):
            report.sections += [("event bus", bus.story()) for bus in buses.opened]
    return report


# RabbitMQ


@pytest.fixture(scope="session")
def rabbitmq_broker(pytestconfig: pytest.Config) -> "Iterator[Broker]":
    """Open a RabbitMQ for all tests: the one that --event-bus names, else `open_broker`'s."""
    from qt_events.testing.broker.broker import MANAGEMENT_URL, GivenBroker, open_broker

    url = _choice(pytestconfig).url
    if url is not None:
        yield GivenBroker(url, os.environ.get(MANAGEMENT_URL))
        return
    with open_broker() as broker:
        yield broker


@pytest.fixture
def rabbitmq_url(rabbitmq_broker: "Broker") -> Iterator[str]:
    """Return the AMQP URL of a vhost that only this test uses; it is deleted afterwards."""
    name = f"qt-test-{uuid4().hex}"
    yield rabbitmq_broker.management.create_vhost(name)
    rabbitmq_broker.management.delete_vhost(name)


# An outbox


@pytest.fixture
def observed_outbox() -> "Callable[[Outbox], ObservedOutbox]":
    """Make claims about an outbox: `observed_outbox(outbox)`; see qt_events.testing."""
    from qt_events.testing.observed_outbox import ObservedOutbox

    return ObservedOutbox


# The bus

if pytest_asyncio is None:

    @pytest.fixture
    def event_bus_factory() -> None:
        """Say which package is missing."""
        pytest.fail(
            "event_bus needs an event loop: pip install 'qt-events[testing]', for pytest-asyncio",
            pytrace=False,
        )

    @pytest.fixture
    def event_bus(event_bus_factory: None) -> None:
        """Say the same."""

else:

    @pytest.fixture
    def event_bus_url(request: pytest.FixtureRequest) -> str | None:
        """Return the URL of the test's own vhost, if it needs one.

        A fixture of its own, so that the vhost ends after the buses.
        """
        if _Marker(request).backend != "rabbitmq":
            return None
        return str(request.getfixturevalue("rabbitmq_url"))

    @pytest_asyncio.fixture
    async def event_bus_factory(
        request: pytest.FixtureRequest, event_bus_url: str | None
    ) -> "AsyncIterator[OpenBus]":
        """Open more buses, each with its own options; over RabbitMQ all on this test's vhost."""
        from qt_events.testing.buses import Buses

        _must_be_async(request)
        marker = _Marker(request)
        buses = Buses(marker.backend, event_bus_url)
        request.node.stash[_BUSES] = buses
        yield buses.open
        judged = not (marker.allow_leftovers or request.node.stash.get(_FAILED, False))
        leftovers = await buses.leftovers() if judged else ""
        await buses.close()
        if leftovers:
            pytest.fail(f"the test left behind:\n{leftovers}", pytrace=False)

    @pytest_asyncio.fixture
    async def event_bus(
        event_bus_factory: "OpenBus", request: pytest.FixtureRequest
    ) -> "ObservedEventBus":
        """Open a running bus, in memory unless --event-bus or the test's marker names another."""
        return await event_bus_factory(**_Marker(request).options)


class _Marker:
    """Settings of a test's markers `event_bus`, the nearest first, and of the configuration."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        given: dict[str, Any] = {}
        for marker in request.node.iter_markers("event_bus"):
            if marker.args:
                keyword = f"backend={marker.args[0]!r}"
                advice = f"@pytest.mark.event_bus takes keywords only, such as {keyword}"
                pytest.fail(advice, pytrace=False)
            given = {**marker.kwargs, **given}
        self.backend: str = given.pop("backend", None) or _choice(request.config).backend
        if self.backend not in {"memory", "eager", "rabbitmq"}:
            advice = f"backend={self.backend!r}: there are memory, eager and rabbitmq"
            pytest.fail(advice, pytrace=False)
        self.allow_leftovers: bool = given.pop(
            "allow_leftovers", request.config.getini("event_bus_allow_leftovers")
        )
        self.options = given


def _must_be_async(request: pytest.FixtureRequest) -> None:
    """Fail a plain function: a bus delivers only while the event loop runs."""
    test = getattr(request.node, "obj", None)
    test = getattr(getattr(test, "hypothesis", None), "inner_test", test)
    if not inspect.iscoroutinefunction(inspect.unwrap(test) if callable(test) else test):
        pytest.fail(
            f"{request.node.name} uses event_bus, whose event loop stands still during a plain "
            "function: write `async def`, and call what blocks by `await asyncio.to_thread(...)`",
            pytrace=False,
        )
