"""Fate: how one attempt at one event ended, as it is told to those who listen. See docs/fates.md.

Fates travel as events, some at a time: `fates.<subscription>` has those of one subscription.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import NoneType
from typing import Any, NamedTuple, TypeAlias, assert_never

from pydantic_core import from_json, to_json

from qt_events.delivery.outcome import (
    DeadLetter,
    Deduplicated,
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

logger = logging.getLogger("qt_events")

PREFIX = "fates."  #: begins the type of events with fates
BATCH = 500  #: fates that are told together, at most
#: Bytes of a message with several fates, at most: brokers take 16 MiB, or what they are told to.
MOST_BYTES = 1024 * 1024
#: Letters that id and source of an event may have together: the fate of another is not told.
LONGEST_IDENTITY = 65_536
# Fates that are read from one message, at most: it takes a few bytes for each.
_MOST_READ = 20 * BATCH
LONGEST_MESSAGE = 1_000  #: bytes of UTF-8 that are told of an exception's text


class FateOutcome(StrEnum):
    """Values of Fate.outcome. A newer release may tell others."""

    #: The handler returned.
    DONE = "done"
    #: A predicate or a removed pattern kept it from the handler.
    FILTERED = "filtered"
    #: Its inbox knew that it was handled before.
    DEDUPLICATED = "deduplicated"
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
    #: Time of predicate and handler, of a batch that of its call alone; None without an attempt.
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
_DEDUPLICATED = Ending(FateOutcome.DEDUPLICATED)


def ending_of(outcome: Outcome) -> Ending:
    """Return what a fate tells of an outcome."""
    match outcome:
        case Done(handled=True):
            return _DONE
        case Done():
            return _FILTERED
        case Deduplicated():
            return _DEDUPLICATED
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
# Types of a row's values as JSON has them: true is no number here.
_NUMBERS = (int, float, NoneType)
_SHAPES = frozenset(
    (str, str, str, int, at, str, seconds, str, str, delay, bool)
    for at in (int, str)
    for seconds in _NUMBERS
    for delay in _NUMBERS
)
#: No database takes a number without bounds.
_MOST = 1e15


#: Values of each field but the last two, of fates of one subscription; `at` in microseconds since
#: 1970.
Columns: TypeAlias = dict[str, list[Any]]
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def by_subscription(fates: Iterable[Fate]) -> dict[str, Columns]:
    """Return the fates of each subscription, in their order."""
    found: dict[str, list[Fate]] = {}
    for fate in fates:
        found.setdefault(fate.subscription, []).append(fate)
    return {name: columns_of(some) for name, some in found.items()}


def columns_of(fates: Sequence[Fate]) -> Columns:
    """Return fates of one subscription as they travel."""
    columns: Columns = {name: [fate[n] for fate in fates] for n, name in enumerate(_ROW)}
    columns["at"] = [(time - _EPOCH) // _MICROSECOND for time in columns["at"]]
    return columns


def told_of(fates: Iterable[Fate]) -> list[Fate]:
    """Return those that can be told, and log how many cannot."""
    every = list(fates)
    told = [each for each in every if len(each.event_id + each.event_source) <= LONGEST_IDENTITY]
    warn_of_too_long(len(every) - len(told))
    return told


def warn_of_too_long(count: int) -> None:
    """Log how many fates are not told, if any, for their events have too long an identity."""
    if count:
        message = "%d fates are not told: id and source of their events have more than %d letters"
        logger.warning(message, count, LONGEST_IDENTITY)


def type_of(subscription: str) -> str:
    """Return the type of the events that tell of a subscription: the routing key, too."""
    return PREFIX + subscription


def messages_of(subscription: str, fates: Columns, worker: str) -> Iterator[bytes]:
    """Yield CloudEvents with fates of one subscription: at most BATCH, or MOST_BYTES, in each.

    `worker` is the process that tells them. Without a fate it is one without any.
    """
    for start in range(0, len(fates["event_id"]) or 1, BATCH):
        yield from _within_bytes(subscription, _some(fates, start, start + BATCH), worker)


def _within_bytes(subscription: str, fates: Columns, worker: str) -> Iterator[bytes]:
    body, count = encode_fates(subscription, fates, worker), len(fates["event_id"])
    if len(body) <= MOST_BYTES or count <= 1:
        yield body
        return
    for half in (_some(fates, 0, count // 2), _some(fates, count // 2, count)):
        yield from _within_bytes(subscription, half, worker)


def _some(fates: Columns, start: int, stop: int) -> Columns:
    return {name: values[start:stop] for name, values in fates.items()}


def encode_fates(subscription: str, fates: Columns, worker: str) -> bytes:
    """Return a CloudEvent with fates of one subscription.

    An Event would be made of it value by value, which takes ten times as long.
    """
    document = {
        "specversion": "1.0",
        "id": new_id(),
        "source": worker,
        "type": type_of(subscription),
        "time": datetime.now(UTC),
        "datacontenttype": "application/json",
        "data": {
            "worker": worker,
            "fates": {name: _once(values) for name, values in fates.items()}
            # A list in any case.
            | {"event_id": fates["event_id"]},
        },
    }
    return bytes(to_json(document))


def _once(values: list[Any]) -> Any:
    """Return the one value that all have, or all."""
    return values[0] if values and values.count(values[0]) == len(values) else values


def fates_in(event: RawEvent) -> list[Fate]:
    """Return the fates that a message tells. Fields that this release does not know are left out.

    A fate of other types is left out, and the log says so. Those of a release that told a row for
    each fate are read, too.

    Raises:
        DecodeError: there are none in it, or none as they are written here.
    """
    try:
        payload: Any = from_json(event.body)["data"]
        told = (event.type.removeprefix(PREFIX), str(payload["worker"]))
        fields, rows = _table(payload)
        known = [(n, name) for n, name in enumerate(fields) if name in _ROW]
    except (LookupError, TypeError, ValueError) as error:
        raise _no_fates(event, error) from None
    found, wrong = list[Fate](), None
    for row in rows:
        try:
            values = row if fields == _ROW else _values(known, row)
            found.append(_checked(values, *told))
        except (LookupError, OverflowError, TypeError, ValueError) as error:
            wrong = error
    if wrong is not None:
        if not found:
            raise _no_fates(event, wrong)
        logger.warning(
            "%d of %d fates in %.200r are left out: %.200r",
            *(len(rows) - len(found), len(rows), event.type, wrong),
        )
    return found


def _table(payload: Mapping[str, Any]) -> tuple[tuple[str, ...], Sequence[Any]]:
    """Return names of fields, and a row for each fate."""
    told = payload["fates"]
    if isinstance(told, list):
        return tuple(payload["fields"]), told
    count = len(told["event_id"])
    if not isinstance(told["event_id"], list) or count > _MOST_READ:
        raise ValueError(f"event_id is no list of at most {_MOST_READ} ids")
    columns = (each if isinstance(each, list) else [each] * count for each in told.values())
    return tuple(told), list(zip(*columns, strict=True))


def _no_fates(event: RawEvent, error: Exception) -> DecodeError:
    return DecodeError(f"{event.type!r} tells no fates: {error!r:.200}")


def _values(known: Sequence[tuple[int, str]], row: Any) -> list[Any]:
    """Return the values of a row that has other fields, in the order of those known here."""
    values = Fate._field_defaults | {name: row[n] for n, name in known}
    return [values[name] for name in _ROW]


def _checked(row: Sequence[Any], subscription: str, worker: str) -> Fate:
    if tuple(map(type, row)) not in _SHAPES:
        raise TypeError(f"other types than told here: {row!r:.100}")
    before, after = row[:_AT], row[_AT + 1 :]
    values: list[Any] = [*before, _time(row[_AT]), *after, subscription, worker]
    fate = Fate(*values)
    if not all(
        -_MOST < (number or 0) < _MOST for number in (fate.attempt, fate.seconds, fate.delay)
    ):
        raise ValueError(f"numbers out of bounds: {row!r:.100}")
    return fate


def _time(text: int | str) -> datetime:
    if isinstance(text, int):
        return _EPOCH + text * _MICROSECOND
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"at is {text!r:.50}, without a time zone")
    return time if time.tzinfo is UTC else time.astimezone(UTC)
