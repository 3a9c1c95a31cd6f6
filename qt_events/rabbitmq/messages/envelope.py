"""Envelope: a message as it came from a queue, as plain data that prefork can pickle."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from amqp.basic_message import Message as RawMessage

from qt_events.dead_letters.record import DeadLetterRecord, record_of
from qt_events.delivery.outcome import Attempts, Consequences, DeadLetter, DeadLetterReason
from qt_events.errors import DecodeError
from qt_events.events.raw import RawEvent
from qt_events.events.replays import marked
from qt_events.logs.formatters import FIELDS
from qt_events.rabbitmq.messages.properties import (
    FORMER_PRIORITY,
    PERSISTENT,
    from_amqp,
    identity_in,
    raw_from_amqp,
)
from qt_events.texts import LONGEST, LONGEST_NAME, LONGEST_TRACEBACK, printable, shortened

ATTEMPT, TYPE, FIRST_FAILED = "qt-attempt", "qt-type", "qt-first-failed"
KEY, TRIAL, BODY_SIZE, REASON = "qt-key", "qt-trial", "qt-body-size", "qt-reason"
#: Time since which it is given back to a release that can handle it.
GIVEN_BACK = "qt-given-back"
RETURNS = "x-delivery-count"
#: Names the replay that sent it again.
REPLAY = "qt-replay"
#: Of a message that was delivered before and not counted: a classic queue counts nothing.
AGAIN = "redelivered"
_RECORD = (
    "subscription", "event_id", "reason", "exception_type", "message", "traceback", "host", "id",
)  # fmt: skip
_LONGEST = {"message": LONGEST, "traceback": LONGEST_TRACEBACK}
_KEPT_PROPERTIES = (
    "app_id", "content_encoding", "content_type", "correlation_id", "message_id",
    "priority", "reply_to", "timestamp", "type",
)  # fmt: skip
# Bytes of an AMQP short string: routing keys and properties.
_LONGEST_KEY = 255
_MOST_ATTEMPTS = 1_000_000
_NAMELESS = uuid5(NAMESPACE_URL, "https://qt-events.invalid/dead-letter")


# Not frozen: making a frozen one would take longer than all else that is done with most of them.
@dataclass(slots=True)
class Envelope:
    """Message as the broker delivered it. Nothing changes that."""

    subscription: str
    #: Routing key that brings it back: the subscription, or its instance in one process.
    key: str
    #: Only the beginning of one that is too large to be read.
    body: bytes
    #: AMQP basic properties without the headers.
    properties: dict[str, Any]
    #: Ours (`qt-...`), x-delivery-count and AGAIN.
    headers: dict[str, Any]
    routing_key: str
    quarantined: bool = False
    #: Reason why it cannot be read, if that showed before its body was looked at.
    flaw: str = ""
    #: Bytes of the whole body.
    size: int = 0
    # While somebody observes attempts: the beginning of this one while it lasts, and its seconds.
    _began: float = field(init=False, repr=False, compare=False)
    _seconds: float = field(init=False, repr=False, compare=False)
    # Its event, once it was read.
    _seen: Any = field(init=False, repr=False, compare=False)

    @property
    def event_type(self) -> str:
        """Routing key of the publish; `qt-type` keeps it on the way through a delay level."""
        return (_key(self.headers.get(TYPE)) if self.headers else "") or self.routing_key

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1; also 1 if the header is no sane count."""
        return (self.headers and _count(self.headers.get(ATTEMPT))) or 1

    @property
    def returns(self) -> int:
        """Number of earlier deliveries by a quorum queue that had no outcome."""
        return _count(self.headers.get(RETURNS))

    @property
    def redelivered(self) -> bool:
        """Tell whether this very message has been delivered before, here or elsewhere."""
        return bool(self.returns or self.headers.get(AGAIN))

    @property
    def trials(self) -> int:
        """Number of attempts that were made while nothing else was handled."""
        return _count(self.headers.get(TRIAL))

    @property
    def is_on_trial(self) -> bool:
        """Tell whether it must be handled alone: it came back from quarantine, or is a copy."""
        return self.quarantined and (self.returns > 0 or self.trials > 0)

    @property
    def attempts(self) -> Attempts:
        """Number of this attempt, and the time at which the first one failed."""
        return Attempts(self.attempt, _time(self.headers.get(FIRST_FAILED)))

    @property
    def given_back_since(self) -> datetime | None:
        """Time at which it was first given back to another release, None if it was not."""
        return _time(self.headers.get(GIVEN_BACK))

    @property
    def event_id(self) -> str:
        """Message id, for logs and records."""
        return printable(str(self.properties.get("message_id") or ""))

    def event(self, *, raw: bool = False) -> Any:
        """Return its event, or a RawEvent. DecodeError, TypeMismatchError: see from_amqp()."""
        if self.flaw:
            raise DecodeError(self.flaw)
        read = raw_from_amqp if raw else from_amqp
        event = read(self.body, self.properties, self.event_type)
        # Most come for the first time, without headers.
        self._seen = self._marked(event) if self.headers else event
        return self._seen

    def _marked(self, event: Any) -> Any:
        if not (replay_id := self.replay_id):
            return event
        if isinstance(event, RawEvent):
            return replace(event, replayed=True)
        return marked(event, replay_id)

    @property
    def replay_id(self) -> str:
        """Name of the replay that sent it again, empty for the event itself."""
        return _key(self.headers.get(REPLAY))

    def begin(self) -> None:
        """Note that the handler is about to be called, for those who observe attempts."""
        self._began = monotonic()

    def end(self) -> None:
        """Note that it has an outcome, which is to be made safe."""
        if hasattr(self, "_began"):
            self._seconds = monotonic() - self._began
            del self._began

    def observed(self) -> tuple[str, str, float | None, bool]:
        """Return id, source, seconds (None: no handler was called), and True if it is replayed.

        They are the event's own, as far as the message can be read.
        """
        self.end()
        seconds = getattr(self, "_seconds", None)
        if (event := getattr(self, "_seen", None)) is not None:
            return event.id, event.source, seconds, event.replayed
        own = identity_in(self.body, self.properties, self.event_type)
        return *own, seconds, bool(self.headers and self.replay_id)

    def log_fields(self) -> dict[str, Any]:
        """Return logging's `extra` for a log line outside of the delivery."""
        correlation_id = printable(str(self.properties.get("correlation_id") or ""))
        event_type = printable(self.event_type)
        values = (self.event_id, event_type, self.subscription, self.attempt, correlation_id)
        return {name: value for name, value in zip(FIELDS, values, strict=True) if value}

    def carried(self) -> dict[str, Any]:
        """Return the properties that every copy keeps."""
        return _carried(self.properties)

    def retry_headers(self, follows: Consequences) -> dict[str, Any]:
        """Return the headers of the next attempt."""
        return self._headers_of(self.attempts.after(follows), follows.since)

    def quarantine_headers(self, trials: int = 0) -> dict[str, Any]:
        """Return the headers of the same attempt in quarantine, to be handled alone.

        `trials` counts how often it has been handled alone.
        """
        headers = self._headers_of(self.attempts, self.given_back_since)
        return {**headers, **({TRIAL: trials} if trials else {})}

    def _headers_of(self, attempts: Attempts, given_back: datetime | None) -> dict[str, Any]:
        times = {FIRST_FAILED: attempts.first_failed, GIVEN_BACK: given_back}
        texts = {name: time.isoformat() for name, time in times.items() if time is not None}
        marks = {REPLAY: self.replay_id} if self.replay_id else {}
        return {ATTEMPT: attempts.next, TYPE: self.event_type, **texts, **marks}

    def record(self, outcome: DeadLetter) -> DeadLetterRecord:
        """Return the dead letter that this becomes."""
        return record_of(
            outcome,
            self.attempts,
            subscription=self.subscription,
            event_id=printable(self.observed()[0]),
            event_type=self.event_type,
            body=self.body,
            whole=self.size <= len(self.body),
            properties=self.carried(),
            replay_id=self.replay_id,
        )

    def record_headers(self, outcome: DeadLetter) -> dict[str, Any]:
        """Return the headers of the dead letter that this becomes."""
        record = self.record(outcome)
        return {**headers_of(record, self.key), **({} if record.whole else {BODY_SIZE: self.size})}


def headers_of(record: DeadLetterRecord, key: str) -> dict[str, Any]:
    """Return a dead letter's details as AMQP headers; `key` brings it back."""
    texts = {
        f"qt-{name.replace('_', '-')}": _bounded(name, getattr(record, name)) for name in _RECORD
    }
    return {
        **texts,
        KEY: key,
        TYPE: record.event_type,
        ATTEMPT: record.attempts,
        FIRST_FAILED: record.first_failed.isoformat(),
        "qt-last-failed": record.last_failed.isoformat(),
        **({REPLAY: record.replay_id} if record.replay_id else {}),
    }


def returning(record: DeadLetterRecord) -> dict[str, Any]:
    """Return the headers of a dead letter that goes back to its subscription."""
    return {TYPE: record.event_type, **({REPLAY: record.replay_id} if record.replay_id else {})}


def body_of(raw: RawMessage) -> bytes:
    """Return the body as it was on the wire; py-amqp gives a str for an empty one."""
    return raw.body.encode() if isinstance(raw.body, str) else bytes(raw.body)


def _bounded(name: str, text: str) -> str:
    # A lone surrogate cannot travel.
    return shortened(text.encode(errors="replace").decode(), _LONGEST.get(name, LONGEST_NAME))


def record_from(
    subscription: str,
    body: bytes,
    properties: Mapping[str, Any],
    headers: Mapping[str, Any],
    routing_key: str,
) -> DeadLetterRecord:
    """Return the dead letter in a message of a dead-letter queue.

    A message that the broker put there has details of its own, in x-death.
    """
    death = _death(headers)
    failed = _time(headers.get("qt-last-failed")) or death.time or datetime.now(UTC)
    message_id = properties.get("message_id")
    return DeadLetterRecord(
        subscription=subscription,
        event_id=_line(headers.get("qt-event-id") or message_id),
        event_type=_key(headers.get(TYPE)) or death.routing_key or routing_key,
        reason=_text(headers.get(REASON)) or death.reason or DeadLetterReason.UNKNOWN.value,
        attempts=_count(headers.get(ATTEMPT)),
        exception_type=_line(headers.get("qt-exception-type")),
        message=_text(headers.get("qt-message")),
        traceback=_text(headers.get("qt-traceback")),
        first_failed=_time(headers.get(FIRST_FAILED)) or failed,
        last_failed=failed,
        body=body,
        whole=headers.get(BODY_SIZE) is None,
        properties=_carried(properties),
        host=_line(headers.get("qt-host")),
        replay_id=_key(headers.get(REPLAY)),
        id=_line(headers.get("qt-id") or message_id) or _derived_id(body, death),
    )


@dataclass(frozen=True, slots=True)
class _Death:
    """Entry of x-death: how the broker moved a message (RabbitMQ, Dead Lettering)."""

    reason: str = ""
    routing_key: str = ""
    time: datetime | None = None


def _death(headers: Mapping[str, Any]) -> _Death:
    deaths = headers.get("x-death")
    first = deaths[0] if isinstance(deaths, list) and deaths else None
    if not isinstance(first, dict):
        return _Death()
    keys, time = first.get("routing-keys"), first.get("time")
    return _Death(
        reason=_text(first.get("reason")),
        routing_key=_key(keys[0]) if isinstance(keys, list) and keys else "",
        # py-amqp reads it as a naive UTC time.
        time=time.replace(tzinfo=UTC) if isinstance(time, datetime) else None,
    )


def _derived_id(body: bytes, death: _Death) -> str:
    """Make an id for a message that came without one, the same at every look."""
    return str(uuid5(_NAMELESS, f"{death.time}\n{body.decode(errors='replace')}"))


def _carried(properties: Mapping[str, Any]) -> dict[str, Any]:
    # Not `expiration`, which is not the copy's, and not `user_id`, which is not ours.
    kept = ((name, properties.get(name)) for name in _KEPT_PROPERTIES)
    fitting = {
        name: _fitting(value)
        for name, value in kept
        if value is not None and (name, value) != FORMER_PRIORITY
    }
    return {**fitting, "delivery_mode": PERSISTENT}


def _fitting(value: Any) -> Any:
    """Return a property as a frame takes it: one that was no UTF-8 is longer in letters."""
    if not isinstance(value, str) or (value.isascii() and len(value) <= _LONGEST_KEY):
        return value
    return encodable(value).encode()[:_LONGEST_KEY].decode(errors="ignore")


# Headers come from anybody: a value that is not of the expected type counts as missing.


def _text(value: object) -> str:
    return encodable(value) if isinstance(value, str) else ""


def _line(value: object) -> str:
    return printable(value) if isinstance(value, str) else ""


def _key(value: object) -> str:
    fits = isinstance(value, str) and len(value.encode(errors="surrogatepass")) <= _LONGEST_KEY
    return encodable(value) if fits else ""  # type: ignore[arg-type]


def encodable(text: str) -> str:
    """Return the text with escapes for lone surrogates, which py-amqp takes and no file does."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _count(value: object) -> int:
    sane = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_ATTEMPTS
    return value if sane else 0  # type: ignore[return-value]


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
