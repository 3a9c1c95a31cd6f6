"""Snippets of the reference run as they stand there, imports apart."""

import ast
import asyncio
import inspect
import logging
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, cast

import pytest

import qt_events
from qt_events import Event, EventBus, HealthStatus, InMemoryEventBus, RiskMode

# The reference calls utcnow().
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


def names(**more: Any) -> dict[str, Any]:
    """Return the names that the reference's snippets use without importing them."""
    public = {name: getattr(qt_events, name) for name in qt_events.__all__}
    return {
        **public,
        "asyncio": asyncio,
        "datetime": datetime,
        "logger": logging.getLogger("spec"),
        "pytest": pytest,
        **more,
    }


async def execute(snippet: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """Run a snippet, with `await` at its top level, and return the names that it left."""
    code = compile(snippet, "reference", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, namespace)  # noqa: S307
    if inspect.isawaitable(result):
        await cast("Awaitable[object]", result)
    return namespace


# Usage: Basic Setup

BASIC_SETUP = """
# Create bus
bus = InMemoryEventBus()

# Define handler
async def my_handler(event: Event):
    print(f"Received: {event.type}")

# Subscribe
bus.subscribe("my.event", my_handler)

# Start dispatcher in background
asyncio.create_task(bus.run_forever())

# Publish events
await bus.publish(Event("my.event", datetime.utcnow(), {"data": "test"}))
"""


async def test_basic_setup(capsys: pytest.CaptureFixture[str]) -> None:
    """The first lines that a user writes work, from the bus to the event."""
    left = await execute(BASIC_SETUP, names())
    await left["bus"].join(5)
    left["bus"].stop()
    assert capsys.readouterr().out == "Received: my.event\n"


# Usage: MSC AI -> Orchestrator

CONTROLLER = """
class MetaStrategyController:
    def __init__(self, event_bus: EventBus, policy_store: PolicyStore):
        self.event_bus = event_bus
        self.policy_store = policy_store
    
    async def update_policy(self, risk_mode: RiskMode):
        # Update storage
        await self.policy_store.set_risk_mode(risk_mode)
        
        # Notify system
        event = PolicyUpdatedEvent.create(
            risk_mode=risk_mode,
            allowed_strategies=["strat1", "strat2"],
            global_min_confidence=0.7,
            max_risk_per_trade=0.02,
            max_positions=5,
        )
        await self.event_bus.publish(event)
"""  # noqa: W293

ORCHESTRATOR = '''
class Orchestrator:
    def __init__(self, event_bus: EventBus):
        self.event_bus = event_bus
        self.current_policy = {}
        
        # Subscribe to policy updates
        event_bus.subscribe("policy.updated", self.on_policy_updated)
    
    async def on_policy_updated(self, event: Event):
        """Reload policy when notified."""
        self.current_policy = event.payload
        logger.info(f"Policy updated: {event.payload['risk_mode']}")
'''  # noqa: W293


class PolicyStore:
    """PolicyStore of the system around the bus."""

    risk_mode: RiskMode | None = None

    async def set_risk_mode(self, risk_mode: RiskMode) -> None:
        self.risk_mode = risk_mode


async def test_a_policy_update_reaches_the_orchestrator(caplog: pytest.LogCaptureFixture) -> None:
    """The Orchestrator reads MSC AI's policy as a mapping and logs its risk mode by name."""
    caplog.set_level(logging.INFO, "spec")
    namespace = names(PolicyStore=PolicyStore)
    await execute(CONTROLLER, namespace)
    await execute(ORCHESTRATOR, namespace)
    async with InMemoryEventBus() as bus:
        orchestrator = namespace["Orchestrator"](bus)
        store = PolicyStore()
        await namespace["MetaStrategyController"](bus, store).update_policy(RiskMode.DEFENSIVE)
        await bus.join(5)
    assert store.risk_mode is RiskMode.DEFENSIVE
    assert orchestrator.current_policy == {
        "risk_mode": "DEFENSIVE",
        "allowed_strategies": ["strat1", "strat2"],
        "global_min_confidence": 0.7,
        "max_risk_per_trade": 0.02,
        "max_positions": 5,
    }
    assert [record.getMessage() for record in caplog.records] == ["Policy updated: DEFENSIVE"]
    name = f"{type(orchestrator).__module__}.orchestrator.on_policy_updated"
    assert bus.get_stats()["by_subscription"].keys() == {name}


# Usage: Health Monitor -> Discord

MONITOR = """
class SystemHealthMonitor:
    def __init__(self, event_bus: EventBus):
        self.event_bus = event_bus
    
    async def check_health(self):
        if drawdown < -5.0:
            event = HealthStatusChangedEvent.create(
                old_status=HealthStatus.HEALTHY,
                new_status=HealthStatus.CRITICAL,
                component="DrawdownGuard",
                reason="Daily DD exceeded",
                metrics={"dd": drawdown},
            )
            await self.event_bus.publish(event)
"""  # noqa: W293

NOTIFIER = """
class DiscordNotifier:
    def __init__(self, event_bus: EventBus, webhook_url: str):
        self.webhook_url = webhook_url
        event_bus.subscribe("health.status_changed", self.on_health_changed)
    
    async def on_health_changed(self, event: Event):
        if event.payload["new_status"] == "CRITICAL":
            await self.send_alert(event.payload)
"""  # noqa: W293


async def test_a_critical_status_reaches_discord() -> None:
    """The notifier compares the Health Monitor's status with a plain string."""
    namespace = names(drawdown=-6.5)
    await execute(MONITOR, namespace)
    await execute(NOTIFIER, namespace)
    sent: list[Any] = []

    async def send_alert(payload: Any) -> None:
        sent.append(payload)

    async with InMemoryEventBus() as bus:
        notifier = namespace["DiscordNotifier"](bus, "a webhook")
        notifier.send_alert = send_alert
        await namespace["SystemHealthMonitor"](bus).check_health()
        await bus.join(5)
    [payload] = sent
    assert payload["metrics"] == {"dd": -6.5}
    assert payload.new_status is HealthStatus.CRITICAL


# Handler types

ASYNC_HANDLER = """
async def async_handler(event: Event) -> None:
    # Can await other async operations
    result = await some_async_operation()
    logger.info(f"Processed {event.type}")
"""

SYNC_HANDLER = """
def sync_handler(event: Event) -> None:
    # Runs in thread pool automatically
    logger.info(f"Processed {event.type}")
"""


async def test_async_and_sync_handlers(caplog: pytest.LogCaptureFixture) -> None:
    """Async and sync handlers are subscribed alike; the sync one runs in a thread."""
    caplog.set_level(logging.INFO, "spec")

    async def some_async_operation() -> int:
        await asyncio.sleep(0)
        return 1

    namespace = names(some_async_operation=some_async_operation)
    await execute(ASYNC_HANDLER, namespace)
    await execute(SYNC_HANDLER, namespace)
    async with InMemoryEventBus() as bus:
        bus.subscribe("my.event", namespace["async_handler"], name="async")
        bus.subscribe("my.event", namespace["sync_handler"], name="sync")
        await bus.publish(Event("my.event", datetime.utcnow(), {}))
        await bus.join(5)
    assert [record.getMessage() for record in caplog.records] == ["Processed my.event"] * 2
    assert len({record.threadName for record in caplog.records}) == 2


# Error handling

RISKY_HANDLER = """
async def risky_handler(event: Event):
    try:
        # Do risky operation
        await external_api_call()
    except Exception as e:
        # Log but don't crash
        logger.error(f"Handler failed: {e}")
        # Bus continues processing
"""


async def external_api_call() -> None:
    message = "no answer"
    raise ConnectionError(message)


async def test_a_handler_that_catches_its_errors(caplog: pytest.LogCaptureFixture) -> None:
    """A handler that logs its own error has handled the event: no retry, no dead letter."""
    namespace = names(external_api_call=external_api_call)
    await execute(RISKY_HANDLER, namespace)
    async with InMemoryEventBus() as bus:
        bus.subscribe("my.event", namespace["risky_handler"], name="risky")
        for _ in range(2):
            await bus.publish(Event("my.event", datetime.utcnow(), {}))
        await bus.join(5)
    stats = bus.get_stats()
    assert (stats["delivered"], stats["errors"], stats["dead_letters"]) == (2, 0, 0)
    assert [record.getMessage() for record in caplog.records] == ["Handler failed: no answer"] * 2


async def test_one_failing_handler_does_not_affect_others() -> None:
    """Exceptions are logged; other handlers and later events are served meanwhile."""
    bus, seen = InMemoryEventBus(), []

    async def failing(event: Event[Any]) -> None:
        await external_api_call()

    async def steady(event: Event[Any]) -> None:
        seen.append(event.payload["n"])
        if event.payload["n"] == 2:
            bus.stop()

    bus.subscribe("my.event", failing, name="failing")
    bus.subscribe("my.event", steady, name="steady")
    for n in range(3):
        await bus.publish(Event("my.event", datetime.utcnow(), {"n": n}))
    async with asyncio.timeout(5):
        await bus.run_forever()
    assert seen == [0, 1, 2]
    assert bus.get_stats()["errors"] == 3


# Statistics

STATISTICS = """
stats = bus.get_stats()
# {
#     "published": 1234,      # Total events published
#     "dispatched": 1230,     # Total events dispatched
#     "errors": 4,            # Handler errors
#     "queue_size": 3,        # Current queue depth
#     "handler_types": 6,     # Unique event types
#     "total_handlers": 12,   # Total handlers registered
# }
"""


async def test_statistics() -> None:
    """get_stats() has the six keys, each an int with the meaning that the reference gives it."""
    bus = InMemoryEventBus()

    async def good(event: Event[Any]) -> None: ...

    async def bad(event: Event[Any]) -> None:
        await external_api_call()

    for event_type in ("a", "b"):
        bus.subscribe(event_type, good, name="good")
    bus.subscribe("b", bad, name="bad")
    task = asyncio.create_task(bus.run_forever())
    # Let the dispatcher start; a stop() before its start has no effect.
    await asyncio.sleep(0)
    for event_type in ("a", "a", "b"):
        await bus.publish(Event(event_type, datetime.utcnow(), {}))
    bus.stop()
    await task
    left = await execute(STATISTICS, names(bus=bus))
    six = {key: left["stats"][key] for key in (
        "published", "dispatched", "errors", "queue_size", "handler_types", "total_handlers"
    )}  # fmt: skip
    assert six == {
        "published": 3,
        "dispatched": 2,
        "errors": 1,
        "queue_size": 1,
        "handler_types": 2,
        "total_handlers": 2,
    }


# Testing

UNIT_TEST = """
@pytest.mark.asyncio
async def test_event_flow():
    bus = InMemoryEventBus()
    results = []
    
    async def handler(event: Event):
        results.append(event)
    
    bus.subscribe("test.event", handler)
    
    task = asyncio.create_task(bus.run_forever())
    
    await bus.publish(Event("test.event", datetime.utcnow(), {}))
    await asyncio.sleep(0.1)
    
    assert len(results) == 1
    
    bus.stop()
    task.cancel()
"""  # noqa: W293


async def test_the_unit_test() -> None:
    """The reference's own unit test passes, sleep and all."""
    left = await execute(UNIT_TEST, names())
    await left["test_event_flow"]()


# The interface

EVENT_BUS = '''
class MyBus(EventBus):
    async def publish(self, event: Event) -> None:
        """Publish event to the bus."""
        
    def subscribe(self, event_type: str, handler: EventHandler) -> None:
        """Subscribe handler to event type."""
        
    async def run_forever(self) -> None:
        """Run event dispatcher loop."""
'''  # noqa: W293


async def test_the_interface_is_there() -> None:
    """EventBus is a Protocol with publish, subscribe and run_forever."""
    await execute(EVENT_BUS, names())
    assert all(
        callable(getattr(EventBus, name)) for name in ("publish", "subscribe", "run_forever")
    )
    assert isinstance(InMemoryEventBus(), EventBus)


async def test_the_constructor_takes_what_is_configurable() -> None:
    """Queue size and worker threads are set as the reference says they can be."""
    bus = InMemoryEventBus(max_queue_size=10, max_workers=4)
    assert (bus.max_queue_size, bus.max_workers) == (10, 4)
