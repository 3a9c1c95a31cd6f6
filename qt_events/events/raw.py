"""RawEvent: an event as it was on the wire; no class, no check of its payload."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from qt_events.errors import DecodeError, InvalidEventError, TypeMismatchError
from qt_events.events.attributes import checked_time
from qt_events.events.cloudevents import (
    CONTENT_TYPE,
    cloud_event,
    encode,
    must_be_version_1,
    parse,
    plain_event,
    read_time,
    required_text,
)
from qt_events.events.event import DEFAULT_SOURCE, Event


@dataclass(frozen=True, slots=True)
class RawEvent:
    """An event for a subscription made with `raw=True`.

    Its type or version may have no class here, its payload may not fit its class, and it may come
    from any producer. Its texts are as long and as strange as the producer made them.
    """

    type: str
    #: Unique in one source.
    id: str
    source: str
    time: datetime
    #: Id of the event that everything began with; its own if it names none.
    correlation_id: str
    causation_id: str | None
    #: CloudEvents JSON, or plain JSON with only a payload.
    content_type: str
    #: As on the wire.
    body: bytes
    #: Sent again, to one subscription, by a replay.
    replayed: bool = False

    @classmethod
    def of(cls, event: Event[Any]) -> Self:
        """Return what a publish of the event puts on the wire. InvalidPayloadError: see encode."""
        return cls(
            type=event.type,
            id=event.id,
            source=event.source,
            time=event.timestamp,
            correlation_id=event.correlation_id,
            causation_id=event.causation_id,
            content_type=CONTENT_TYPE,
            body=encode(event, None),
            replayed=event.replayed,
        )

    @classmethod
    def of_cloud_event(cls, document: Mapping[str, Any], body: bytes, event_type: str) -> Self:
        """Return the event of a parsed CloudEvent.

        Raises:
            DecodeError: it has no id, source, type or readable time.
            TypeMismatchError: its type is not the one that it was routed by.
        """
        must_be_version_1(document)
        if required_text(document, "type") != event_type:
            raise TypeMismatchError(
                f"the event says type {document['type']!r:.300}, its routing key {event_type!r}"
            )
        own = required_text(document, "id")
        return cls(
            type=event_type,
            id=own,
            source=required_text(document, "source"),
            time=_in_utc(read_time(document.get("time"))),
            correlation_id=_text(document.get("correlationid")) or own,
            causation_id=_text(document.get("causationid")),
            content_type=CONTENT_TYPE,
            body=body,
        )

    @classmethod
    def of_plain(
        cls,
        body: bytes,
        event_type: str,
        *,
        id: str,
        timestamp: datetime | None,
        source: object,
        correlation_id: object,
    ) -> Self:
        """Return the event of a plain JSON object; the transport knows its attributes."""
        return cls(
            type=event_type,
            id=id,
            source=_text(source) or DEFAULT_SOURCE,
            time=_in_utc(timestamp),
            correlation_id=_text(correlation_id) or id,
            causation_id=None,
            content_type="application/json",
            body=body,
        )


def as_event(event: "Event[Any] | RawEvent") -> Event[Any]:
    """Return an event of its class. Raises what decoding it does: see `cloud_event`."""
    if isinstance(event, Event):
        return event
    document = parse(event.body)
    if event.content_type == CONTENT_TYPE:
        return cloud_event(document, event.type)
    return plain_event(
        document,
        event.type,
        id=event.id,
        timestamp=event.time,
        source=event.source,
        correlation_id=event.correlation_id,
    )


def as_raw(event: Any) -> RawEvent:
    """Return an event for a raw subscription; one that came over a broker is raw already."""
    return event if isinstance(event, RawEvent) else RawEvent.of(event)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _in_utc(time: datetime | None) -> datetime:
    try:
        return checked_time(time)
    except InvalidEventError as error:
        raise DecodeError(str(error)) from None
