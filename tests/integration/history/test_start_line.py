"""The line by which a recorder sends old events: what the broker does not keep is not sent."""

import threading

import pytest

from qt_events.rabbitmq.connection.connections import for_long_errands, visiting
from qt_events.rabbitmq.starting.line import Line, NotStored
from qt_events.rabbitmq.starting.requests import mark
from tests.support.buses import MakeBus
from tests.support.channels import channel_to

LASTING = {"durable": True, "auto_delete": False}


def test_what_the_broker_cannot_store_is_said(make_bus: MakeBus, amqp_url: str) -> None:
    """Else the bookmark would go on behind events that nobody gets."""
    with channel_to(amqp_url) as channel:
        channel.exchange_declare("old", "topic", **LASTING)
        full = {"x-max-length": 1, "x-overflow": "reject-publish"}
        channel.queue_declare("full", **LASTING, arguments=full)
        channel.queue_bind("full", "old", "full")
        # Its confirms take the time of a disk: a refusal between them comes by itself.
        channel.queue_declare("slow", **LASTING, arguments={"x-queue-type": "quorum"})
        channel.queue_bind("slow", "old", "slow")
    bus = make_bus()
    with visiting(for_long_errands(bus.app)) as connection:
        line = Line(connection, bus.topology, threading.Event())
        assert line.publish("old", [("full", mark("first"))])
        for keys in (["full"], ["full"] * 3, ["slow", "full", "slow"]):
            with pytest.raises(NotStored):
                line.publish("old", [(key, mark("more")) for key in keys])
        assert not line.publish("old", [("nobody", mark("more"))])
