"""Targets: the ways that a message takes through the library, without a broker. Only named errors may come out."""

import json
import pickle
from collections.abc import Callable
from struct import pack
from typing import Any

from amqp import abstract_channel, serialization, spec
from amqp.basic_message import Message as RawMessage

from qt_events.codec import decode, encode
from qt_events.delivery import DeadLetter, Failure
from qt_events.errors import InvalidPayloadError, MessageError
from qt_events.rabbitmq.envelope import ATTEMPT, TYPE, Envelope, record_from
from qt_events.rabbitmq.provenance import Provenance
from qt_events.rabbitmq.quarantine import next_step
from qt_events.rabbitmq.queues import ENVELOPE, SubscriptionQueue
from qt_events.rabbitmq.topology import Topology
from tests.fuzz.mutation import Input

FRAME = 128 * 1024 - 64  # bytes of properties that a frame takes
DELIVER = "sLbss"  # consumer tag, delivery tag, redelivered, exchange, routing key
SUBSCRIPTION = "fuzz"
PROVENANCE = Provenance(Topology("qt"), SUBSCRIPTION, SUBSCRIPTION)
FAILED = DeadLetter("exhausted", Failure("OSError", "no \ud800", "Traceback ..." * 3_000))
QUEUE = SubscriptionQueue(
    "qt.sub.fuzz",
    subscription=SUBSCRIPTION,
    key=SUBSCRIPTION,
    way=PROVENANCE.of,
    counts_returns=True,
    prefetch=lambda: 1,
)


class UnwritableError(Exception):
    """Not even py-amqp writes such a message: nobody could have sent it."""


def through_codec(given: Input) -> str:
    """decode() by itself: with properties of any kind, as another transport may give them."""
    try:
        event = decode(given.body, given.properties, given.key)
    except MessageError as error:
        return _kind(error)
    assert event.type == given.key
    try:
        assert decode(encode(event).body, encode(event).properties, event.type) == event
    except InvalidPayloadError as error:
        return _kind(error)
    return "decoded"


def through_queue(given: Input) -> str:
    """From the bytes of a delivery to the copies that follow from it, and back from the bytes of those."""
    raw = _received(given.body, _written(given), _delivery(given))
    arrived: list[RawMessage] = []
    QUEUE._arrived(arrived.append, raw)  # noqa: SLF001  # what Celery calls
    headers = arrived[0].properties["application_headers"]
    assert set(headers) == {"task", "id", ENVELOPE}
    assert headers["task"] == SUBSCRIPTION
    envelope: Envelope = pickle.loads(pickle.dumps(headers[ENVELOPE]))  # noqa: S301  # as prefork does
    assert envelope == headers[ENVELOPE]
    json.dumps(envelope.log_fields()).encode()
    next_step(envelope)
    _retried(envelope)
    return _buried(envelope)


def through_dead_letters(given: Input) -> str:
    """A message that somebody put among the dead letters: looked at, and sent back."""
    written, delivery = _written(given), _delivery(given)
    raw = _received(given.body, written, delivery)
    PROVENANCE.believed(raw.delivery_info, raw.headers or {})
    _send_back(raw)
    return "dead letter"


TARGETS: dict[str, Callable[[Input], str]] = {
    "codec": through_codec,
    "queue": through_queue,
    "dead letters": through_dead_letters,
}


def _kind(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()[:3])}"


def _outcome(envelope: Envelope) -> tuple[str, DeadLetter]:
    try:
        envelope.event()
    except MessageError as error:
        return _kind(error), DeadLetter("undecodable", Failure.of(error))
    return "decoded", FAILED


def _retried(envelope: Envelope) -> None:
    """The next attempt is one more, of the same type."""
    assert 1 <= envelope.attempt <= 1_000_000
    for headers in (envelope.retry_headers(), envelope.quarantine_headers(1)):
        raw = _round_trip(envelope.body, {**envelope.carried(), "expiration": "100"}, headers)
        assert (raw.headers or {})[ATTEMPT] in {envelope.attempt, envelope.attempt + 1}


def _buried(envelope: Envelope) -> str:
    kind, outcome = _outcome(envelope)
    raw = _round_trip(envelope.body, envelope.carried(), envelope.record_headers(outcome))
    record = _send_back(raw)
    assert record.reason == outcome.reason
    assert record.attempts == envelope.attempt
    assert record.whole
    return kind


def _send_back(raw: RawMessage) -> Any:
    properties = {name: value for name, value in raw.properties.items() if name != "application_headers"}
    record = record_from(SUBSCRIPTION, raw.body, properties, raw.headers or {}, "qt.dead.fuzz")
    assert record.id
    assert record.first_failed.tzinfo is not None
    shown = (
        record.id,
        record.event_id,
        record.event_type,
        record.reason,
        record.message,
        record.traceback,
        record.host,
    )
    json.dumps(shown, ensure_ascii=False).encode()
    _round_trip(record.body, record.properties, {TYPE: record.event_type})
    return record


# Over the wire


def _serialised(raw: RawMessage) -> bytes:
    return bytes(raw._serialize_properties())  # noqa: SLF001  # as py-amqp writes them


def _written(given: Input) -> bytes:
    try:
        written = bytearray(_serialised(RawMessage(b"", application_headers=given.headers, **given.properties)))
    except Exception as error:
        raise UnwritableError from error
    for where, what in given.scars:
        at = 2 + int(where * (len(written) - 2))
        written[at : at + 1] = bytes([what])
    return bytes(written)


def _delivery(given: Input) -> bytes:
    exchange, key = given.exchange.encode(), given.key.encode(errors="surrogatepass")
    if given.scars and key:  # a routing key is any bytes
        where, what = given.scars[0]
        key = key[: int(where * len(key))] + bytes([what]) + key[int(where * len(key)) + 1 :]
    head = pack(">B1sQB", 1, b"t", 7, given.redelivered)
    return head + bytes([len(exchange)]) + exchange + bytes([len(key)]) + key


def _received(body: bytes, properties: bytes, delivery: bytes) -> RawMessage:
    raw = RawMessage(body)
    raw.properties, _ = serialization.PROPERTY_CLASSES[spec.Basic.CLASS_ID](properties, 0)
    (_, tag, redelivered, exchange, key), _ = abstract_channel.loads(DELIVER, delivery, 0)
    raw.delivery_info = {
        "delivery_tag": tag, "redelivered": redelivered, "exchange": exchange, "routing_key": key
    }  # fmt: skip
    return raw


def _round_trip(body: bytes, properties: dict[str, Any], headers: dict[str, Any]) -> RawMessage:
    written = _serialised(RawMessage(body, application_headers=headers, **properties))
    assert len(written) < FRAME
    raw = RawMessage(body)
    raw.properties, _ = serialization.decode_properties_basic(written, 0)  # py-amqp's own: ours are always readable
    return raw
