"""Story: all that was told of one event by one subscription."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from qt_events.delivery.fates import Fate, FateOutcome

#: Another attempt follows.
RETRYING = frozenset({FateOutcome.RETRIED, FateOutcome.GIVEN_BACK})
#: The subscription needs it no more.
SETTLED = frozenset({FateOutcome.DONE, FateOutcome.FILTERED})


@dataclass(frozen=True, slots=True)
class Story:
    """Fates of one event at one subscription, at least one, in the order of their times.

    Fates that were lost, with a process that was killed, are missing in it.
    """

    subscription: str
    fates: tuple[Fate, ...]

    @property
    def last(self) -> Fate:
        """Return the fate that was told last."""
        return self.fates[-1]

    @property
    def is_handled(self) -> bool:
        """Tell whether a handler has returned."""
        return any(each.outcome == FateOutcome.DONE for each in self.fates)

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


def stories_of(fates: Iterable[Fate]) -> list[Story]:
    """Return the stories of one event, by the names of the subscriptions."""
    told: dict[str, list[Fate]] = {}
    for each in fates:
        told.setdefault(each.subscription, []).append(each)
    return [Story(name, tuple(sorted(told[name], key=_moment))) for name in sorted(told)]


def _moment(fate: Fate) -> tuple[datetime, int]:
    return fate.at, fate.attempt
