"""Requests for old events, and marks among them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from amqp.basic_message import Message as RawMessage

from qt_events.rabbitmq.starting.progress import Phase, Progress
from qt_events.rabbitmq.starting.requests import (
    END,
    FENCE,
    MARK,
    StartRequest,
    is_fence,
    mark,
    mark_of,
)
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.trust import ASTRAY, RETURNED, Provenance

QT = Topology("qt")


@pytest.mark.parametrize("since", [None, datetime(2026, 12, 1, tzinfo=UTC)])
def test_a_request_is_read_as_it_was_written(since: datetime | None) -> None:
    request = StartRequest("stock", "ab12", ("order.*", "#"), since)
    assert StartRequest.decode(request.encode()) == request


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"subscription":"s","generation":"g","patterns":1,"since":null}']
)
def test_what_is_no_request_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        StartRequest.decode(body)


def test_progress_is_read_as_it_was_written() -> None:
    progress = Progress(7, 9, "fence:1", Phase.FEEDING)
    assert Progress.of(7, progress.text()) == progress


def marked(text: Any, exchange: str) -> RawMessage:
    raw = RawMessage(b"", application_headers={MARK: text})
    raw.delivery_info = {"exchange": exchange}
    return raw


def test_a_producer_makes_no_fence() -> None:
    """What everybody may publish to is no way for one: the event would be dropped."""
    assert is_fence(QT, marked(f"{FENCE}1", "qt.redeliver"))
    assert not is_fence(QT, marked(f"{FENCE}1", "qt.events"))
    assert not is_fence(QT, marked(END, "qt.redeliver"))
    assert mark_of(marked(3, "qt.start")) == ""
    assert mark(END).headers == {MARK: END}


@pytest.mark.parametrize(
    ("key", "origin"), [("stock.ab12", RETURNED), ("stock", ASTRAY), ("other.ab12", ASTRAY)]
)
def test_old_events_are_believed_by_their_own_key_alone(key: str, origin: str) -> None:
    """Only the recorder may use the exchange; a key of another subscription is no route."""
    route = Provenance(QT, "stock", "stock")
    assert route.of({"exchange": "qt.start", "routing_key": key}, {}) == origin
