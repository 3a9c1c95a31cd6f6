"""Acknowledgements: several in one call to the kernel, and basic.nack, which py-amqp lacks."""

from collections.abc import Iterable
from struct import Struct

from amqp import Channel, spec

from qt_events.rabbitmq.compat.names import ACKNOWLEDGING, are_there

_TOGETHER = are_there(ACKNOWLEDGING)
# A frame: kind, channel, size; class and method, delivery tag, multiple; its end.
_ACK = Struct(">BHIHHQ?B")
_METHOD, _SIZE, _END = 1, 13, 0xCE
_NACK = (60, 120)  # RabbitMQ's own method


def acknowledge(channel: Channel, tags: Iterable[tuple[int, bool]]) -> None:
    """Acknowledge delivery tags; with True, all up to this one.

    Raises:
        OSError, amqp.exceptions.AMQPError: the connection is lost.
        AttributeError: the channel is closed: py-amqp has taken its connection away.
    """
    if _TOGETHER:
        frames = (
            _ACK.pack(_METHOD, channel.channel_id, _SIZE, *spec.Basic.Ack, tag, multiple, _END)
            for tag, multiple in tags
        )
        channel.connection.frames.write(b"".join(frames))
    else:
        for tag, multiple in tags:
            channel.basic_ack(tag, multiple)


def give_back(channel: Channel, tag: int) -> None:
    """Have the broker requeue all deliveries up to this tag, in one command."""
    multiple, requeue = True, True
    channel.send_method(_NACK, "Lbb", (tag, multiple, requeue))
