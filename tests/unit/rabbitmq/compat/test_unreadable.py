"""Messages that py-amqp cannot read are marked, and nothing else changes."""

from struct import pack
from typing import Any

import pytest
from amqp import abstract_channel, serialization, spec
from amqp.basic_message import Message as RawMessage

from qt_events.rabbitmq.compat import unreadable
from qt_events.rabbitmq.compat.unreadable import MARK, guard

guard()

NESTED = 5_000


def written(**properties: object) -> bytes:
    return bytes(RawMessage(b"", **properties)._serialize_properties())  # noqa: SLF001


def read(properties: bytes) -> dict[str, object]:
    return dict(serialization.PROPERTY_CLASSES[spec.Basic.CLASS_ID](properties, 0)[0])


def nested() -> bytes:
    inner = b""
    for _ in range(NESTED):
        inner = b"A" + pack(">I", len(inner)) + inner
    return b"\x01a" + inner


def test_what_can_be_read_is_read_as_ever() -> None:
    given = {
        "content_type": "text/plain",
        "message_id": "ä",
        "application_headers": {"a": [1, {"b": None}]},
        "priority": 3,
    }
    assert read(written(**given)) == given


def test_a_property_that_is_no_utf_8_is_salvaged_with_the_rest() -> None:
    """The dead letter has the headers and the other properties."""
    broken = written(message_id="QQ", app_id="go", application_headers={"a": 1}).replace(
        b"QQ", b"\xff\xfe"
    )
    properties = read(broken)
    headers = properties["application_headers"]
    assert isinstance(headers, dict)
    assert (properties["app_id"], headers["a"]) == ("go", 1)
    assert "UnicodeDecodeError" in headers[MARK]


@pytest.mark.parametrize(
    "table", [b"\x01tT" + b"\xff" * 8, b"\x01t?", nested(), b"\x01tS\xff\xff\xff\xffx"]
)
def test_headers_that_cannot_be_read_are_left_out(table: bytes) -> None:
    """Cases: a time beyond all calendars, an unknown kind, nested tables, a wrong length."""
    properties = read(
        pack(">H", 0x8000 | 0x2000 | 0x0080) + b"\x01x" + pack(">I", len(table)) + table + b"\x02id"
    )
    assert (properties["content_type"], properties["message_id"]) == ("x", "id")
    assert set(properties["application_headers"]) == {MARK}  # type: ignore[call-overload]


@pytest.mark.parametrize("properties", [b"", b"\xff", b"\xff\xff"])
def test_a_frame_that_breaks_off_is_an_empty_one(properties: bytes) -> None:
    """No broker sends it, and it would end no worker."""
    assert set(read(properties)["application_headers"]) == {MARK}  # type: ignore[call-overload]


def test_a_routing_key_that_is_no_utf_8_is_read_so_that_it_shows() -> None:
    """The key has lone surrogates, which no event type has."""
    values, _ = abstract_channel.loads("ss", b"\x01a\x03b.\xff", 0)
    assert values == ["a", "b.\udcff"]


def test_guarding_twice_is_guarding_once() -> None:
    """Several modules may need it."""
    before = serialization.PROPERTY_CLASSES[spec.Basic.CLASS_ID], abstract_channel.loads
    guard()
    assert (serialization.PROPERTY_CLASSES[spec.Basic.CLASS_ID], abstract_channel.loads) == before


def test_without_its_names_nothing_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """py-amqp reads as ever."""
    monkeypatch.setattr(unreadable, "_CAN_GUARD", False)
    plain: dict[int, Any] = {spec.Basic.CLASS_ID: lambda buffer, at: ({}, at)}
    monkeypatch.setattr(serialization, "PROPERTY_CLASSES", dict(plain))
    guard()
    assert plain == serialization.PROPERTY_CLASSES
