"""Acknowledgements in one write, or one by one."""

import struct
from typing import Any
from unittest.mock import Mock, call

import pytest
from amqp import Channel

from qt_events.rabbitmq.compat import acknowledgements
from qt_events.rabbitmq.compat.acknowledgements import acknowledge, give_back


@pytest.fixture
def channel() -> Any:
    return Mock(spec_set=["basic_ack", "channel_id", "connection", "send_method"], channel_id=7)


def by_py_amqp(tag: int, *, multiple: bool) -> bytes:
    """Return the frame's payload, without class and method."""
    written: list[Any] = []
    channel = Mock(spec=Channel, send_method=lambda *sent: written.append(sent))
    Channel.basic_ack(channel, tag, multiple)
    ((_method, signature, arguments),) = written
    assert signature == "Lb"
    return struct.pack(">Q?", *arguments)


def test_several_are_one_write_of_the_frames_that_py_amqp_writes(channel: Any) -> None:
    acknowledge(channel, [(5, True), (7, False)])
    (data,) = channel.connection.frames.write.call_args.args
    payloads = [by_py_amqp(5, multiple=True), by_py_amqp(7, multiple=False)]
    assert data == b"".join(
        struct.pack(">BHIHH", 1, 7, 13, 60, 80) + payload + b"\xce" for payload in payloads
    )


def test_without_the_name_each_is_py_amqps_own(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledgements, "_TOGETHER", False)
    acknowledge(channel, [(5, True), (7, False)])
    assert channel.basic_ack.call_args_list == [call(5, True), call(7, False)]
    assert not channel.connection.frames.write.called


def test_giving_back_is_one_command_for_all_up_to_a_tag(channel: Any) -> None:
    """RabbitMQ's basic.nack: delivery tag, multiple, requeue."""
    give_back(channel, 9)
    assert channel.send_method.call_args == call((60, 120), "Lbb", (9, True, True))
