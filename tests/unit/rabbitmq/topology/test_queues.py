"""SubscriptionQueue: the queue names the task, not the message."""

import json
from typing import Any
from unittest.mock import AsyncMock

import pytest
from amqp import spec
from amqp.basic_message import Message as RawMessage

from qt_events.errors import DecodeError
from qt_events.events.cloudevents import MAX_BODY
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.topology.queues import BEGINNING, ENVELOPE, SubscriptionQueue
from qt_events.rabbitmq.topology.trust import RETURNED


def queue(*, quarantined: bool = False, counts_returns: bool = True) -> SubscriptionQueue:
    return SubscriptionQueue(
        "qt.sub.audit",
        subscription="audit",
        key="audit.1",
        quarantined=quarantined,
        origin=lambda *_: RETURNED,
        counts_returns=counts_returns,
        declare_all=lambda _channel: None,
        prefetch=lambda: 7,
        taker=lambda *_: None,
    )


def arrive(headers: dict[str, Any] | None, **properties: Any) -> RawMessage:
    raw = RawMessage(b"body", **properties)
    if headers is not None:
        raw.properties["application_headers"] = headers
    raw.delivery_info = {"routing_key": "trade.executed"}
    arrived: list[RawMessage] = []
    queue()._arrived(arrived.append, raw)  # noqa: SLF001
    return arrived[0]


def test_the_task_is_the_subscription() -> None:
    """The task has its name. The id contains event and subscription."""
    headers = arrive({}, message_id="e1").properties["application_headers"]
    assert (headers["task"], headers["id"]) == ("audit", "e1:audit.1")


@pytest.mark.parametrize(
    "hostile",
    [
        {"task": "os.system", "id": "x"},
        {"compression": "application/x-bz2"},
        {"x-death": [{"reason": "expired"}], "x-first-death-queue": "q"},
        {"callbacks": [1], "chain": [2], "errbacks": [3], "group": "g", "reply_to": "r"},
        {
            "eta": "2020-01-01T00:00:00",
            "expires": "2020-01-01T00:00:00",
            "timelimit": [1, 1],
            "retries": 99,
        },
        {ENVELOPE: "forged"},
    ],
)
def test_a_messages_own_headers_choose_nothing(hostile: dict[str, Any]) -> None:
    """No header that Celery or kombu would act on gets through."""
    headers = arrive(hostile, message_id="e1").properties["application_headers"]
    assert set(headers) == {"task", "id", ENVELOPE}
    assert (headers["task"], headers["id"]) == ("audit", "e1:audit.1")
    assert isinstance(headers[ENVELOPE], Envelope)
    assert headers[ENVELOPE].headers == {}


def believed(*, redelivered: bool, counts_returns: bool) -> dict[str, Any]:
    raw = RawMessage(b"body")
    given = {
        "qt-attempt": 3,
        "qt-type": "a.b",
        "qt-other": 1,
        "x-delivery-count": 2,
        "other": 1,
        b"qt-\xff": 1,
    }
    raw.properties["application_headers"] = given
    raw.delivery_info = {"routing_key": "trade.executed", "redelivered": redelivered}
    queue(counts_returns=counts_returns)._arrived(lambda _: None, raw)  # noqa: SLF001
    return dict(raw.properties["application_headers"][ENVELOPE].headers)


def test_our_own_headers_and_the_brokers_count_are_kept() -> None:
    """Known `qt-` headers and x-delivery-count are in the envelope."""
    kept = {"qt-attempt": 3, "qt-type": "a.b", "x-delivery-count": 2}
    assert believed(redelivered=True, counts_returns=True) == kept


@pytest.mark.parametrize(("redelivered", "counts_returns"), [(False, True), (True, False)])
def test_a_delivery_count_that_a_producer_may_have_written_is_not_believed(
    redelivered: bool, counts_returns: bool
) -> None:
    """The count of a first delivery, or in a classic queue, is not the broker's.

    It could force a quarantine.
    """
    assert "x-delivery-count" not in believed(
        redelivered=redelivered, counts_returns=counts_returns
    )


def test_only_the_beginning_of_a_body_that_is_too_large_is_held() -> None:
    """Message and envelope drop the rest, because many messages are prefetched."""
    raw = RawMessage(b"x" * (MAX_BODY + 1))
    raw.delivery_info = {"routing_key": "trade.executed"}
    queue()._arrived(lambda _: None, raw)  # noqa: SLF001
    envelope: Envelope = raw.properties["application_headers"][ENVELOPE]
    assert raw.body == envelope.body == b"x" * BEGINNING
    with pytest.raises(DecodeError, match=f"{MAX_BODY + 1} bytes"):
        envelope.event()


def test_a_body_of_the_largest_size_is_held_whole() -> None:
    """The limit itself may still be read."""
    raw = RawMessage(b"x" * MAX_BODY)
    raw.delivery_info = {"routing_key": "trade.executed"}
    queue()._arrived(lambda _: None, raw)  # noqa: SLF001
    assert len(raw.properties["application_headers"][ENVELOPE].body) == MAX_BODY


@pytest.mark.parametrize("key", ["a.\udcff", "\ud800"])
def test_a_routing_key_that_is_no_utf_8_is_named(key: str) -> None:
    """The key is shown as escapes, which can be logged, and no event is made of it."""
    raw = RawMessage(b"{}")
    raw.delivery_info = {"routing_key": key}
    queue()._arrived(lambda _: None, raw)  # noqa: SLF001
    envelope: Envelope = raw.properties["application_headers"][ENVELOPE]
    assert envelope.event_type.isascii()
    with pytest.raises(DecodeError, match="no UTF-8"):
        envelope.event()


def test_the_envelope_holds_body_properties_and_routing_key() -> None:
    """A handler's attempt needs no more than that."""
    envelope = arrive(None, message_id="e1", content_type="x").properties["application_headers"][
        ENVELOPE
    ]
    assert (envelope.body, envelope.routing_key, envelope.key) == (
        b"body",
        "trade.executed",
        "audit.1",
    )
    assert envelope.properties == {"message_id": "e1", "content_type": "x"}


@pytest.mark.parametrize("message_id", [None, "", "a\nb", "x" * 300, 7])
def test_a_message_without_a_sane_id_gets_one(message_id: object) -> None:
    """Two such messages are two tasks."""
    ids = {
        arrive({}, message_id=message_id).properties["application_headers"]["id"] for _ in range(2)
    }
    assert len(ids) == 2
    assert all(len(each) == len("audit.1") + 37 for each in ids)


def test_a_copy_keeps_everything() -> None:
    """kombu binds a copy of the queue to each channel."""
    copy = queue(quarantined=True)(None)
    assert (copy.subscription, copy.key, copy.quarantined, copy.prefetch()) == (
        "audit",
        "audit.1",
        True,
        7,
    )


def test_what_inspect_shows_is_json() -> None:
    """`inspect active_queues` sends the queue's description."""
    shown = json.loads(json.dumps(queue().as_dict(recurse=True)))
    assert (shown["name"], shown["subscription"]) == ("qt.sub.audit", "audit")


class Channel:
    """Channel that records its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.auto_decode = True
        self.no_ack_consumers: set[str] | None = set()

    def send_method(self, method: Any, _format: str, arguments: Any) -> None:
        assert method == spec.Basic.Qos
        self.calls.append(("qos", arguments))

    def basic_consume(self, queue: str, **_: Any) -> None:
        self.calls.append(("consume", queue))


def test_each_queue_consumes_with_its_own_prefetch() -> None:
    """basic.qos counts for the consumers made after it; the body stays bytes."""
    channel = Channel()
    bound = queue()
    bound._channel, bound._is_bound = channel, True  # noqa: SLF001  # without a connection
    bound.consume("tag", print)
    assert channel.calls == [("qos", (0, 7, False)), ("consume", "qt.sub.audit")]
    assert channel.auto_decode is False


def test_celerys_banner_shows_the_bindings_there_are() -> None:
    """Not Celery's own exchange, which no queue of ours has to do with."""
    bus = CeleryEventBus("amqp://127.0.0.1:1//", prefix="shop")
    handler = AsyncMock()
    bus.subscribe("order.placed", handler, name="audit")
    bus.subscribe("trade.#", handler, name="audit")
    bus.app.finalize()
    banner = bus.app.amqp.queues.format()
    assert "shop.sub.audit   exchange=shop.events(topic) key=order.placed,trade.#" in banner
    ours = [line for line in banner.splitlines() if "shop." in line]
    assert not any("celery" in line for line in ours)
    bus.close()


@pytest.mark.parametrize("count", [{}, {"x-delivery-count": 1}])
def test_what_was_taken_back_from_a_consumer_was_delivered_before(count: dict[str, int]) -> None:
    """RabbitMQ 4.3 counts no return of what it takes from a consumer that it cancels."""
    raw = RawMessage(b"body", message_id="e1")
    raw.properties["application_headers"] = {"x-acquired-count": 1, **count}
    raw.delivery_info = {"routing_key": "trade.executed", "redelivered": True}
    arrived: list[RawMessage] = []
    queue()._arrived(arrived.append, raw)  # noqa: SLF001
    envelope = arrived[0].properties["application_headers"][ENVELOPE]
    assert envelope.redelivered
    assert envelope.returns == len(count)
