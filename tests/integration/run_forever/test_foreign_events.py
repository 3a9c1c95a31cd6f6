"""Events of this library and of others, in one queue."""

import amqp

from qt_events.events.event import Event
from tests.integration.run_forever.hosting import Handler, running
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.waiting import until


async def test_nobody_overtakes_who_asked_for_no_priority(make_bus: MakeBus, amqp_url: str) -> None:
    """RabbitMQ 4.3 hands out by priority, and takes none for 4: ours must not be below that."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="guard")
    ours = [Event("happened", source="ours") for _ in range(20)]
    with channel_to(amqp_url) as channel:
        for event in ours:
            await bus.publish(event)
            foreign = amqp.Message('{"foreign": true}', message_id=f"after {event.id}")
            channel.basic_publish_confirm(foreign, "qt.events", "happened")
    async with running(bus):
        await until(lambda: len(handler.done) == 40)
    assert handler.ids == [each for event in ours for each in (event.id, f"after {event.id}")]
