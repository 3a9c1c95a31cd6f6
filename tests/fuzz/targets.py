"""Targets: the ways of a message through the library, without a broker.

Only named errors may come out.
"""

import json
import pickle
import struct
from collections.abc import Callable, Iterator
from typing import Any

from amqp import abstract_channel, serialization, spec
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import FrameSyntaxError

from qt_events.delivery.outcome import DeadLetter, DeadLetterReason, Failure, Retry, consequences
from qt_events.errors import InvalidPayloadError, MessageError
from qt_events.rabbitmq.compat.basic_publish import frames
from qt_events.rabbitmq.compat.unreadable import guard
from qt_events.rabbitmq.handling.quarantine import next_step
from qt_events.rabbitmq.messages.envelope import ATTEMPT, TYPE, Envelope, record_from
from qt_events.rabbitmq.messages.properties import Content, from_amqp, to_amqp
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.queues import ENVELOPE, SubscriptionQueue
from qt_events.rabbitmq.topology.trust import Provenance
from tests.fuzz.mutation import Input

# As whoever connects does
guard()

FRAME_MAX = 128 * 1024  # bytes, RabbitMQ's
CHANNEL, TAG = 3, 7
# Kind, channel, size
FRAME = struct.Struct(">BHI")
METHOD, HEADER, BODY, END = 1, 2, 3, 0xCE
# Where they begin in a header
PROPERTIES = 12
# As frames() says
REFUSED = (ValueError, TypeError, struct.error, FrameSyntaxError)
# Consumer tag, delivery tag, redelivered, exchange, routing key
DELIVER = "sLbss"
SUBSCRIPTION = "fuzz"
PROVENANCE = Provenance(Topology("qt"), SUBSCRIPTION, SUBSCRIPTION)
FAILED = DeadLetter(
    DeadLetterReason.EXHAUSTED, Failure("OSError", "no \ud800", "Traceback ..." * 3_000)
)
RETRIED = consequences(Retry(1.0, FAILED.failure))
QUEUE = SubscriptionQueue(
    "qt.sub.fuzz",
    subscription=SUBSCRIPTION,
    key=SUBSCRIPTION,
    origin=PROVENANCE.of,
    counts_returns=True,
    prefetch=lambda: 1,
)


class UnwritableError(Exception):
    """Message that neither we nor py-amqp can write, so nobody could have sent it."""


def through_codec(given: Input) -> str:
    """Decode it by itself, with properties of any kind, as another transport may give them."""
    try:
        event = from_amqp(given.body, given.properties, given.key)
    except MessageError as error:
        return _kind(error)
    assert event.type == given.key
    try:
        content = to_amqp(event)
        assert from_amqp(content.body, content.properties, event.type) == event
    except InvalidPayloadError as error:
        return _kind(error)
    return "decoded"


def through_queue(given: Input) -> str:
    """Read a delivery's bytes, write the copies that follow from it, and read those.

    Both ways into a worker have to make the same of it; the asyncio pool's is the default.
    """
    written, delivery = _written(given), _delivery(given)
    envelope = _into_the_asyncio_pool(_received(given.body, written, delivery))
    assert _into_celery(_received(given.body, written, delivery)) == envelope
    json.dumps(envelope.log_fields()).encode()
    next_step(envelope)
    _retried(envelope)
    return _buried(envelope)


def through_dead_letters(given: Input) -> str:
    """List and send back a message that somebody put among the dead letters."""
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


def _into_the_asyncio_pool(raw: RawMessage) -> Envelope:
    taken: list[tuple[str, int, Envelope]] = []
    QUEUE._taken(lambda *each: taken.append(each), raw)  # noqa: SLF001  # what consumes it, past Celery
    ((task_id, tag, envelope),) = taken
    assert tag == TAG
    _check_id(task_id)
    return envelope


def _into_celery(raw: RawMessage) -> Envelope:
    arrived: list[RawMessage] = []
    QUEUE._arrived(arrived.append, raw)  # noqa: SLF001  # what Celery calls
    headers = arrived[0].properties["application_headers"]
    assert set(headers) == {"task", "id", ENVELOPE}
    assert headers["task"] == SUBSCRIPTION
    _check_id(headers["id"])
    envelope: Envelope = pickle.loads(pickle.dumps(headers[ENVELOPE]))  # noqa: S301  # as prefork does
    assert envelope == headers[ENVELOPE]
    return envelope


def _check_id(task_id: str) -> None:
    """Check that its id can be shown and sent to monitors, whatever id a producer wrote."""
    assert task_id.endswith(f":{SUBSCRIPTION}")
    assert task_id.isprintable()
    assert len(task_id) <= 255 + len(SUBSCRIPTION) + 1


def _kind(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()[:3])}"


def _outcome(envelope: Envelope) -> tuple[str, DeadLetter]:
    try:
        envelope.event()
    except MessageError as error:
        return _kind(error), DeadLetter(DeadLetterReason.UNDECODABLE, Failure.of(error))
    return "decoded", FAILED


def _retried(envelope: Envelope) -> None:
    """Check that the next attempt is one more, of the same type."""
    assert 1 <= envelope.attempt <= 1_000_000
    for headers in (envelope.retry_headers(RETRIED), envelope.quarantine_headers(1)):
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
    properties = {
        name: value for name, value in raw.properties.items() if name != "application_headers"
    }
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


def _written(given: Input) -> bytes:
    """Return its properties on the wire, written as py-amqp does if our publisher takes them."""
    theirs, ours = _by_py_amqp(given), _by_us(given)
    assert ours in {None, theirs}
    if theirs is None:
        raise UnwritableError
    written = bytearray(theirs)
    for where, what in given.scars:
        at = 2 + int(where * (len(written) - 2))
        written[at : at + 1] = bytes([what])
    return bytes(written)


def _by_py_amqp(given: Input) -> bytes | None:
    raw = RawMessage(b"", application_headers=given.headers, **given.properties)
    try:
        return bytes(raw._serialize_properties())  # noqa: SLF001  # as py-amqp writes them
    except Exception:  # noqa: BLE001  # it says nothing of what it raises
        return None


def _by_us(given: Input) -> bytes | None:
    try:
        return _sent(Content(b"", given.properties, given.headers))[0]
    except REFUSED:
        return None


def _delivery(given: Input) -> bytes:
    exchange, key = given.exchange.encode(), given.key.encode(errors="surrogatepass")
    # A routing key is any bytes
    if given.scars and key:
        where, what = given.scars[0]
        key = key[: int(where * len(key))] + bytes([what]) + key[int(where * len(key)) + 1 :]
    head = struct.pack(">B1sQB", 1, b"t", TAG, given.redelivered)
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
    """Write it as our publisher does, and read it as a consumer does."""
    written, received = _sent(Content(body, properties, headers))
    assert received == body
    raw = RawMessage(received)
    # Py-amqp's own: ours are always readable.
    raw.properties, _ = serialization.decode_properties_basic(written, 0)
    return raw


def _sent(message: Content) -> tuple[bytes, bytes]:
    """Return properties and body, out of the frames that our publisher writes."""
    read = list(
        _frames(b"".join(frames("qt.redeliver", SUBSCRIPTION, message, CHANNEL, FRAME_MAX)))
    )
    (method, _), (kind, header), *rest = read
    assert [method, kind, *(each for each, _ in rest)] == [METHOD, HEADER, *[BODY] * len(rest)]
    body = b"".join(part for _, part in rest)
    assert int.from_bytes(header[4:PROPERTIES]) == len(body)
    return header[PROPERTIES:], body


def _frames(written: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(written):
        kind, channel, size = FRAME.unpack_from(written, at)
        begin = at + FRAME.size
        at = begin + size + 1
        assert channel == CHANNEL
        assert at - begin + FRAME.size <= FRAME_MAX
        assert written[at - 1] == END
        yield kind, written[begin : at - 1]
