"""Outcomes whose queue was deleted or takes nothing: the handler is not called again for them."""

import pytest

from qt_events.delivery.retry import NO_RETRY
from tests.integration.run_forever.hosting import QUICK, buried, publish, running
from tests.integration.run_forever.unstored import Failing, delete, said
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.waiting import until

WAYS = {
    "dead letters": "qt.dead.guard",
    "delay level": "qt.retry.100",
    "their exchange": "qt.dead",
}


@pytest.mark.parametrize("name", WAYS.values(), ids=WAYS)
async def test_what_was_deleted_is_declared_again(
    make_bus: MakeBus, amqp_url: str, name: str
) -> None:
    """By a process that only consumes: nothing that it publishes declares anything."""
    consumer, producer, handler = make_bus(), make_bus(), Failing()
    consumer.subscribe("happened", handler, name="guard", retry=QUICK)
    async with running(consumer):
        await publish(producer)
        await buried(consumer, 1)
        delete(amqp_url, name)
        await publish(producer)
        # The first one went with its queue.
        await buried(consumer, 1 if name == "qt.dead.guard" else 2)
    assert handler.calls == 4


async def test_an_outcome_that_cannot_be_stored_is_tried_at_growing_intervals(
    make_bus: MakeBus, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands until an operator has mended the queue. Each try is told, with what is wrong."""
    bus, producer, handler = make_bus(), make_bus(), Failing()
    bus.subscribe("happened", handler, name="guard", retry=NO_RETRY)
    async with running(bus):
        delete(amqp_url, "qt.dead.guard")
        with channel_to(amqp_url) as channel:
            channel.queue_declare("qt.dead.guard", durable=True, auto_delete=False)
        await publish(producer)
        await until(lambda: len(said(caplog)) == 2)
        delete(amqp_url, "qt.dead.guard")
        await buried(bus, 1)
    assert handler.calls == 1
    assert [text.rpartition("again in ")[2] for text in said(caplog)] == ["1 s", "2 s"]
    assert all("queue 'qt.dead.guard' exists" in text for text in said(caplog))
