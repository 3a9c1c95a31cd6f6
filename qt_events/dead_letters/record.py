"""DeadLetterRecord: an event that failed for good, with every detail an operator needs."""

import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from qt_events.delivery.outcome import Attempts, DeadLetter
from qt_events.delivery.telling.fates import Fate, FateOutcome
from qt_events.events.attributes import new_id
from qt_events.events.cloudevents import CONTENT_TYPE, encode
from qt_events.events.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRecord:
    """One event that one subscription could not handle."""

    subscription: str
    event_id: str  #: as far as it could be read
    event_type: str  #: the routing key that brought the event
    #: A value of DeadLetterReason, or whatever else the message says
    reason: str
    attempts: int
    exception_type: str
    message: str
    traceback: str
    first_failed: datetime  #: UTC
    last_failed: datetime  #: UTC
    body: bytes  #: as it was on the wire
    #: False: `body` is only its beginning, for it was too large to be read or kept
    whole: bool = True
    properties: dict[str, Any] = field(default_factory=dict)  #: AMQP properties of the event
    host: str = field(default_factory=socket.gethostname)
    id: str = field(default_factory=new_id)  #: of this dead letter
    replay_id: str = ""  #: names the replay that sent the event again


def record_of(
    outcome: DeadLetter,
    attempts: Attempts,
    *,
    subscription: str,
    event_id: str,
    event_type: str,
    body: bytes,
    properties: dict[str, Any],
    whole: bool = True,
    replay_id: str = "",
) -> DeadLetterRecord:
    """Return the record of an event that failed for good just now, on any backend.

    `attempts` is the count with which the last attempt was made. DeadLetterRecord describes the
    rest.
    """
    failed = datetime.now(UTC)
    return DeadLetterRecord(
        subscription=subscription,
        event_id=event_id,
        event_type=event_type,
        reason=outcome.reason.value,
        attempts=attempts.next,
        exception_type=outcome.failure.exception_type,
        message=outcome.failure.message,
        traceback=outcome.failure.traceback,
        first_failed=attempts.first_failed or failed,
        last_failed=failed,
        body=body,
        whole=whole,
        properties=properties,
        replay_id=replay_id,
    )


def record_of_event(
    event: Event[Any], subscription: str, outcome: DeadLetter, attempts: Attempts
) -> DeadLetterRecord:
    """Return the record of an event, on a bus that has no messages.

    Its properties have the names and values that AMQP's have, so that operators see the same.
    """
    return record_of(
        outcome,
        attempts,
        subscription=subscription,
        event_id=event.id,
        event_type=event.type,
        body=encode(event, limit=None),
        properties={
            "message_id": event.id,
            "type": event.type,
            "app_id": event.source,
            "correlation_id": event.correlation_id,
            "content_type": CONTENT_TYPE,
        },
        replay_id=event.replay_id,
    )


def operators_fate(
    record: DeadLetterRecord, outcome: FateOutcome, at: datetime, identity: tuple[str, str]
) -> Fate:
    """Return the fate of a dead letter that an operator sent back or discarded.

    `identity` is the id and the source of its event, which a record may not have.
    """
    return Fate(
        *identity,
        event_type=record.event_type,
        attempt=record.attempts,
        at=at,
        outcome=outcome,
        reason=record.reason,
        replayed=bool(record.replay_id),
        subscription=record.subscription,
    )
