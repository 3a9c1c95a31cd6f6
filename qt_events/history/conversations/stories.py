"""Story: all that was told of one event by one subscription."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from qt_events.delivery.telling.fates import Fate, FateOutcome

#: Another attempt follows.
RETRYING = frozenset({FateOutcome.RETRIED, FateOutcome.GIVEN_BACK})
#: The subscription needs it no more.
SETTLED = frozenset({FateOutcome.DONE, FateOutcome.FILTERED, FateOutcome.DEDUPLICATED})
#: Its handler has returned, now or before.
HANDLED = frozenset({FateOutcome.DONE, FateOutcome.DEDUPLICATED})

#: No attempt; the next one is the first of another delivery.
BY_OPERATOR = frozenset({FateOutcome.SENT_BACK, FateOutcome.DISCARDED})


@dataclass(frozen=True, slots=True)
class Story:
    """Fates of one event at one subscription, at least one, in their order.

    Fates that were lost, with a process that was killed, are missing in it.
    """

    subscription: str
    fates: tuple[Fate, ...]

    @property
    def last(self) -> Fate:
        """Return the last one."""
        return self.fates[-1]

    @property
    def is_handled(self) -> bool:
        """Tell whether a handler has returned."""
        return any(each.outcome in HANDLED for each in self.fates)

    @property
    def is_settled(self) -> bool:
        """Tell whether the subscription has handled it or filtered it out."""
        return any(each.outcome in SETTLED for each in self.fates)

    @property
    def is_dead(self) -> bool:
        """Tell whether it is a dead letter, as far as was told."""
        return self.last.outcome == FateOutcome.DEAD

    @property
    def next_attempt(self) -> tuple[int, datetime] | None:
        """Return the number and the time of the attempt that follows, if one does."""
        last = self.last
        if last.outcome not in RETRYING:
            return None
        # None was made of the one that was given back.
        number = last.attempt + (last.outcome == FateOutcome.RETRIED)
        try:
            return number, last.at + timedelta(seconds=last.delay or 0.0)
        except (OverflowError, ValueError):
            return number, datetime.max.replace(tzinfo=last.at.tzinfo)


def by_event(fates: Iterable[Fate]) -> dict[tuple[str, str], list[Fate]]:
    """Return fates by the ids and sources of their events."""
    told: dict[tuple[str, str], list[Fate]] = {}
    for fate in fates:
        told.setdefault((fate.event_id, fate.event_source), []).append(fate)
    return told


def stories_of(fates: Iterable[Fate]) -> list[Story]:
    """Return the stories of one event, by the names of the subscriptions."""
    told: dict[str, list[Fate]] = {}
    for each in fates:
        told.setdefault(each.subscription, []).append(each)
    return [
        # Most have one fate, and a conversation may have thousands of them.
        Story(name, tuple(_in_order(theirs) if len(theirs) > 1 else theirs))
        for name, theirs in sorted(told.items())
    ]


def _in_order(fates: Iterable[Fate]) -> Iterator[Fate]:
    """Return fates in the order in which they happened, as far as one can know.

    Attempts of one delivery go by their numbers: each may be told by a process with another clock.
    Only clocks tell the replays apart.
    """
    for delivery in _deliveries(sorted(fates, key=_moment)):
        numbered = iter(sorted(filter(_is_numbered, delivery), key=_number))
        yield from (next(numbered) if _is_numbered(each) else each for each in delivery)


def _deliveries(fates: Iterable[Fate]) -> Iterator[list[Fate]]:
    """Divide fates where an operator did something, or where a second attempt was the last one."""
    delivery, has_ended = list[Fate](), False
    for each in fates:
        ends = _is_numbered(each) and each.outcome not in RETRYING
        if each.outcome in BY_OPERATOR or (ends and has_ended):
            yield delivery
            delivery, has_ended = [], False
        delivery.append(each)
        has_ended = has_ended or ends
    yield delivery


def _is_numbered(fate: Fate) -> bool:
    return not fate.replayed and fate.outcome not in BY_OPERATOR


def _number(fate: Fate) -> tuple[int, datetime]:
    return fate.attempt, fate.at


def _moment(fate: Fate) -> tuple[datetime, int]:
    return fate.at, fate.attempt
