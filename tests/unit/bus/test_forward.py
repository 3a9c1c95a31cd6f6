"""forward(): an event that was kept as bytes, published in memory and in eager mode."""

from typing import Any

import pytest
from celery import Celery

from qt_events import (
    CeleryEventBus,
    DecodeError,
    Event,
    Forwards,
    InMemoryEventBus,
    RawEvent,
    TradeExecutedEvent,
)


def eager_bus() -> CeleryEventBus:
    app = Celery("eager", broker="memory://")
    app.conf.task_always_eager = True
    return CeleryEventBus(app=app)


@pytest.mark.parametrize("make", [InMemoryEventBus, eager_bus])
async def test_an_event_arrives_as_it_was_kept(make: Any) -> None:
    """With its id, source, time and cause; handlers that are plain functions, too."""
    bus, heard = make(), list[Event[Any]]()
    assert issubclass(type(bus), Forwards)

    async def hear(event: Event[Any]) -> None:
        heard.append(event)

    bus.subscribe("order.*", hear, name="hear")
    event: Event[Any] = Event(
        "order.placed", None, {"order": 1}, source="shop", correlation_id="all", causation_id="1"
    )
    async with bus:
        await bus.forward(RawEvent.of(event))
        await bus.join()
    assert heard == [event]


@pytest.mark.parametrize("make", [InMemoryEventBus, eager_bus])
async def test_one_that_does_not_fit_its_class_is_refused(make: Any) -> None:
    raw = RawEvent.of(Event("order.placed", None, {}))
    body = raw.body.replace(b"order.placed", TradeExecutedEvent.event_type.encode())
    strange = RawEvent(
        TradeExecutedEvent.event_type, raw.id, raw.source, raw.time, raw.id, None,
        raw.content_type, body,
    )  # fmt: skip
    async with make() as bus:
        with pytest.raises(DecodeError):
            await bus.forward(strange)
