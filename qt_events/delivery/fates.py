"""Fate: how one attempt at one event ended, as it is told to those who listen. See docs/fates.md.

Fates travel as events, some at a time: `fates.<subscription>` has those of one subscription.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from pydantic_core import from_json, to_json

from qt_events.delivery.outcome import (
    DeadLetter,
    Done,
    Failure,
    GivenBack,
    Outcome,
    Retry,
)
from qt_events.errors import DecodeError
from qt_events.events.attributes import new_id
from qt_events.events.raw import RawEvent
from qt_events.texts import shortened

PREFIX = "fates."  #: begins the type of events with fates
LONGEST_MESSAGE = 1_000  #: bytes of UTF-8 that are told of an exception's text


class FateOutcome(StrEnum):
    """Values of Fate.outcome. A newer release may tell others."""

    #: The handler returned.
    DONE = "done"
    #: A predicate or a removed pattern kept it from the handler.
    FILTERED = "filtered"
    #: The attempt failed, and another one follows.
    RETRIED = "retried"
    #: No attempt was made: it waits for another release.
    GIVEN_BACK = "given_back"
    #: It failed for good, and is a dead letter.
    DEAD = "dead"
    #: An operator sent the dead letter back.
    SENT_BACK = "sent_back"
    #: An operator discarded the dead letter.
    DISCARDED = "discarded"


class Fate(NamedTuple):
    """End of one attempt at an event by one subscription, or what an operator did with it.

    One that its process was killed over is never told: nobody can know it.
    """

    event_id: str
    event_source: str
    event_type: str
    #: From 1; 0 if it is not known.
    attempt: int
    #: UTC; the end of the attempt.
    at: datetime
    #: A value of FateOutcome, or another one of a newer release.
    outcome: str
    #: Time from before the handler was called to its end; None where no handler was called.
    seconds: float | None = None
    #: Reason of a dead letter (DeadLetterReason), else the type of the exception.
    reason: str = ""
    #: Text of the exception, shortened to LONGEST_MESSAGE.
    message: str = ""
    #: Seconds from `at` to the next attempt; None: there is none.
    delay: float | None = None
    #: The event was replayed to this subscription.
    replayed: bool = False
    subscription: str = ""
    #: `host:pid` of the process that tells it.
    worker: str = ""


class Ending(NamedTuple):
    """Part of a fate that an outcome tells."""

    outcome: str
    reason: str = ""
    message: str = ""
    delay: float | None = None


_DONE, _FILTERED = Ending(FateOutcome.DONE), Ending(FateOutcome.FILTERED)


def ending_of(outcome: Outcome) -> Ending:
    """Return what a fate tells of an outcome."""
    match outcome:
        case Done(handled=True):
            return _DONE
        case Done():
            return _FILTERED
        case Retry(delay=delay, failure=failure):
            return _failed(FateOutcome.RETRIED, _bounded(failure.exception_type), failure, delay)
        case GivenBack(delay=delay, failure=failure):
            return _failed(FateOutcome.GIVEN_BACK, _bounded(failure.exception_type), failure, delay)
        case DeadLetter(reason=reason, failure=failure):
            return _failed(FateOutcome.DEAD, reason.value, failure, None)
        case _:
            assert_never(outcome)


def _failed(outcome: FateOutcome, reason: str, failure: Failure, delay: float | None) -> Ending:
    return Ending(outcome, reason, _bounded(failure.message), delay)


def _bounded(text: str) -> str:
    # A lone surrogate cannot travel.
    return shortened(text.encode(errors="replace").decode(), LONGEST_MESSAGE)


# The last two are told once for all of a message.
_ROW = Fate._fields[:-2]
_AT = _ROW.index("at")


def batch_of(fates: Sequence[Fate], worker: str) -> dict[str, Any]:
    """Return fates of one subscription as a payload; `worker` is the process that tells them."""
    rows = [(*fate[:_AT], _text_of(fate.at), *fate[_AT + 1 : -2]) for fate in fates]
    return {"worker": worker, "fields": _ROW, "fates": rows}


def _text_of(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def by_subscription(fates: Iterable[Fate]) -> dict[str, list[Fate]]:
    """Return the fates of each subscription, in their order."""
    found: dict[str, list[Fate]] = {}
    for fate in fates:
        found.setdefault(fate.subscription, []).append(fate)
    return found


def type_of(subscription: str) -> str:
    """Return the type of the events that tell of a subscription: the routing key, too."""
    return PREFIX + subscription


def encode_fates(subscription: str, fates: Sequence[Fate], worker: str) -> bytes:
    """Return the body of a message with fates of one subscription.

    It is what `encode` makes of an event with this `batch_of`, which takes ten times as long.
    """
    document = {
        "specversion": "1.0",
        "id": new_id(),
        "source": worker,
        "type": type_of(subscription),
        "time": _text_of(datetime.now(UTC)),
        "datacontenttype": "application/json",
        "data": batch_of(fates, worker),
    }
    return bytes(to_json(document))


def fates_in(event: RawEvent) -> list[Fate]:
    """Return the fates that a message tells. Fields that this release does not know are left out.

    Raises:
        DecodeError: there are none in it, or not as they are written here.
    """
    try:
        payload: Any = from_json(event.body)["data"]
        told = (event.type.removeprefix(PREFIX), str(payload["worker"]))
        fields, rows = tuple(payload["fields"]), payload["fates"]
        if fields != _ROW:
            known = [(n, name) for n, name in enumerate(fields) if name in _ROW]
            return [_named(known, row, *told) for row in rows]
        values = ((*row[:_AT], _time(row[_AT]), *row[_AT + 1 :], *told) for row in rows)
        return [Fate._make(each) for each in values]
    except (LookupError, TypeError, ValueError) as error:
        raise DecodeError(f"{event.type!r} tells no fates: {error!r:.200}") from None


def _named(known: Sequence[tuple[int, str]], row: Any, subscription: str, worker: str) -> Fate:
    values = {name: row[n] for n, name in known}
    values["at"] = _time(values["at"])
    return Fate(**values, subscription=subscription, worker=worker)


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is UTC else time.astimezone(UTC)
