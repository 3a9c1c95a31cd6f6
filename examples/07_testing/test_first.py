"""The first test on docs/testing.md: it needs no other file and no configuration."""

from qt_events import Event
from qt_events.testing.observed import ObservedEventBus


async def test_an_alert_reaches_the_desk(event_bus: ObservedEventBus) -> None:
    heard: list[float] = []

    async def desk(event: Event) -> None:
        heard.append(event.payload["price"])

    event_bus.subscribe("price.alert", desk, name="desk")
    await event_bus.publish(Event("price.alert", payload={"price": 49_000}))
    await event_bus.join()
    assert heard == [49_000]
    event_bus.assert_delivered("desk", times=1)
