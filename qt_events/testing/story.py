"""Story of a bus: its events and attempts as text, for a test that fails."""

import textwrap
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, assert_never

from qt_events.delivery.middleware import Attempt
from qt_events.delivery.outcome import (
    DeadLetter,
    Deduplicated,
    Done,
    Failure,
    GivenBack,
    Outcome,
    Retry,
)
from qt_events.events.event import Event
from qt_events.testing.journal import Journal, Publication

# Characters of a payload, or of an exception's text
_WIDEST = 100


def describe(journal: Journal) -> str:
    """Return every published event in order, with each attempt to deliver it."""
    lines = [line for each in tuple(journal.publications) for line in _publication(each, journal)]
    here = {each.event.id for each in journal.publications}
    for attempt in tuple(journal.attempts):
        if attempt.event_id not in here:
            lines.append(f"  {attempt.event_type} (published elsewhere)")
            lines.append(f"    {attempt.subscription}: {_course([attempt])}")
    return (
        "\n".join(["what happened:", *lines]) if lines else "what happened: nothing was published"
    )


def _publication(publication: Publication, journal: Journal) -> Iterator[str]:
    event = publication.event
    # Enums by their values, as on the wire
    payload = {
        key: value.value if isinstance(value, Enum) else value
        for key in event.payload
        for value in [event.payload[key]]
    }
    yield f"  {describe_event(event)} {_short(repr(payload))}"
    attempts = journal.of(event=event)
    heard = dict.fromkeys([*publication.subscriptions, *(each.subscription for each in attempts)])
    if not heard:
        yield f"    nobody is subscribed to {event.type}"
    for name in heard:
        yield f"    {name}: {_course(each for each in attempts if each.subscription == name)}"


def _course(attempts: Iterable[Attempt]) -> str:
    ends = [f"attempt {each.number} {describe_outcome(each.outcome)}" for each in attempts]
    return "; ".join(ends) or "no outcome yet"


def describe_event(event: Event[Any]) -> str:
    """Return type, class and the end of the id, where ids of one moment differ."""
    return f"{event.type} ({type(event).__name__}, id ...{event.id[-8:]})"


def describe_outcome(outcome: Outcome) -> str:
    """Return the outcome of an attempt in words."""
    match outcome:
        case Done(handled=True):
            return "done"
        case Done():
            return "filtered out"
        case Deduplicated():
            return "was handled before"
        case GivenBack(delay=delay, failure=failure):
            return f"given back for {delay:g} s ({_exception(failure)})"
        case Retry(delay=delay, failure=failure):
            return f"failed, again after {delay:g} s ({_exception(failure)})"
        case DeadLetter(reason=reason, failure=failure):
            return f"made a dead letter, {reason} ({_exception(failure)})"
        case _:
            assert_never(outcome)


def _exception(failure: Failure) -> str:
    said = f": {failure.message}" if failure.message else ""
    return _short(failure.exception_type + said)


def _short(text: str) -> str:
    """Return the text on one line, cut if it is long."""
    return textwrap.shorten(text, _WIDEST, placeholder=" ...")


def indented(text: str) -> str:
    """Return the text indented below a headline."""
    return textwrap.indent(text.rstrip(), "    ")


def counted(number: int, noun: str) -> str:
    """Return `1 delivery`, `2 deliveries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
