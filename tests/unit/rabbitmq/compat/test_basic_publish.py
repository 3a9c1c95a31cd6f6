"""basic.publish as bytes: equal to py-amqp's own."""

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from amqp import spec
from amqp.basic_message import Message as RawMessage
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as st

from qt_events.rabbitmq.compat import basic_publish
from qt_events.rabbitmq.compat.basic_publish import (
    CHUNK,
    UNSENDABLE,
    FrameWriter,
    PyAmqpWriter,
    frames,
    writer_to,
)
from qt_events.rabbitmq.messages.properties import Content

FRAME_MAX = 4096

texts = st.text(max_size=80)
properties = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("content_type", "content_encoding", "correlation_id", "message_id", "type", "app_id"),
            texts,
        ),
        "reply_to": texts,
        "expiration": texts,
        "delivery_mode": st.integers(1, 2),
        "priority": st.integers(0, 255),
        "timestamp": st.integers(0, 2**63),
        "user_id": texts,
        "cluster_id": texts,
    },
)
headers = st.dictionaries(
    st.text(min_size=1, max_size=20), st.one_of(texts, st.integers(-(2**31), 2**31 - 1)), max_size=3
)


def by_py_amqp(exchange: str, key: str, message: Content) -> bytes:
    written: list[bytes] = []
    transport = SimpleNamespace(write=lambda view: written.append(bytes(view)))
    connection: Any = SimpleNamespace(frame_max=FRAME_MAX, bytes_sent=0)
    raw = RawMessage(message.body, application_headers=message.headers, **message.properties)
    arguments = dumps("Bssbb", (0, exchange, key, True, False))
    frame_writer(connection, transport)(1, 5, spec.Basic.Publish, arguments, raw)
    return b"".join(written)


@given(st.binary(max_size=2_000), properties, headers, st.sampled_from(["qt.events", ""]), texts)
def test_the_bytes_are_py_amqps(
    body: bytes, properties: Any, headers: Any, exchange: str, key: str
) -> None:
    message = Content(body or b"x", properties, headers)
    try:
        expected = by_py_amqp(exchange, key, message)
    except UNSENDABLE:
        with pytest.raises(UNSENDABLE):
            frames(exchange, key, message, 5, FRAME_MAX)
    else:
        assert b"".join(frames(exchange, key, message, 5, FRAME_MAX)) == expected


def parsed(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        kind, channel, size = struct.unpack_from(">BHI", data, at)
        assert (channel, data[at + 7 + size]) == (5, 0xCE)
        found.append((kind, data[at + 7 : at + 7 + size]))
        at += size + 8
    return found


@pytest.mark.parametrize("size", [0, 1, 4031, 4032, 4033, 8064, 100_000])
def test_a_body_goes_in_as_many_frames_as_it_takes(size: int) -> None:
    """No frame is larger than the broker allows, and each item holds whole frames."""
    body = bytes(number % 251 for number in range(size))
    items = frames("qt.events", "a.b", Content(body, {}), 5, FRAME_MAX)
    assert all(len(payload) + 8 <= FRAME_MAX for item in items for _, payload in parsed(item))
    (method, header), bodies = parsed(b"".join(items))[:2], parsed(b"".join(items))[2:]
    assert (method[0], header[0], {kind for kind, _ in bodies} - {3}) == (1, 2, set())
    assert struct.unpack_from(">HHQ", header[1]) == (60, 0, size)
    assert b"".join(payload for _, payload in bodies) == body


@pytest.mark.parametrize(
    ("properties", "headers"),
    [
        ({"message_id": "x" * 256}, {}),
        ({"priority": 256}, {}),
        ({"timestamp": -1}, {}),
        ({"type": 7}, {}),
        ({}, {"qt-message": "x" * FRAME_MAX}),
        ({}, {"qt-message": object()}),
    ],
)
def test_what_amqp_cannot_carry_is_refused_before_a_byte_is_written(
    properties: Any, headers: Any
) -> None:
    with pytest.raises(UNSENDABLE):
        frames("qt.events", "a.b", Content(b"{}", properties, headers), 5, FRAME_MAX)


# Writers


class Wire:
    """Stand-in for a channel of py-amqp, with the bytes that were written."""

    channel_id = 5
    frame_max = FRAME_MAX
    bytes_sent = 0

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.connection = self.frames = self

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def basic_publish(
        self, message: RawMessage, exchange: str, key: str, *, mandatory: bool
    ) -> None:
        arguments = dumps("Bssbb", (0, exchange, key, mandatory, False))
        frame_writer(self, self)(1, self.channel_id, spec.Basic.Publish, arguments, message)


MESSAGES = [
    Content(b"{}", {"message_id": "1"}),
    Content(b"x" * 10_000, {"type": "number.drawn"}, {"qt-attempt": 2}),
    Content(b"", {}),
]


def written_by(writer: Any, wire: Wire, messages: list[Content]) -> list[bytes]:
    for each in messages:
        writer.write("qt.events", "a.b", each)
    writer.flush()
    return wire.written


def test_many_publishes_are_one_write() -> None:
    wire = Wire()
    assert isinstance(writer_to(wire), FrameWriter)
    written_by(writer_to(wire), wire, 50 * MESSAGES[:1])
    assert len(wire.written) == 1
    writer_to(wire).flush()
    assert len(wire.written) == 1


def test_no_write_is_longer_than_the_kernel_takes() -> None:
    wire = Wire()
    written = written_by(FrameWriter(wire), wire, 40 * MESSAGES[1:2])
    assert len(written) > 1
    assert all(len(each) <= CHUNK for each in written)


def test_py_amqps_own_writer_writes_the_same_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is the same. A large body may be cut at other places."""
    ours, theirs = Wire(), Wire()
    expected = written_by(FrameWriter(ours), ours, MESSAGES)
    monkeypatch.setattr(basic_publish, "_AS_FRAMES", False)
    writer = writer_to(theirs)
    assert isinstance(writer, PyAmqpWriter)
    written = written_by(writer, theirs, MESSAGES)
    assert messages_in(written) == messages_in(expected)


def messages_in(written: list[bytes]) -> list[tuple[int, bytes]]:
    """Return the frames, with those of a body put together."""
    found: list[tuple[int, bytes]] = []
    for kind, payload in parsed(b"".join(written)):
        if found and found[-1][0] == kind == 3:
            found[-1] = (3, found[-1][1] + payload)
        else:
            found.append((kind, payload))
    return found


@pytest.mark.parametrize("writer", [FrameWriter, PyAmqpWriter])
@pytest.mark.parametrize(
    "content",
    [
        Content(b"{}", {"message_id": "x" * 256}),
        Content(b"{}", {"type": 7}),
        Content(b"{}", {}, {"qt-message": "x" * FRAME_MAX}),
        Content(b"{}", {}, {"qt-message": object()}),
    ],
    ids=["long property", "wrong property", "long headers", "wrong header"],
)
def test_each_writer_refuses_what_amqp_cannot_carry(writer: Any, content: Content) -> None:
    """No byte of it is written, and the others go on."""
    wire = Wire()
    made = writer(wire)
    with pytest.raises(UNSENDABLE):
        made.write("qt.events", "a.b", content)
    assert len(messages_in(written_by(made, wire, MESSAGES[:1]))) == 3
