"""Totals: entries added up as they come. Pure."""

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from qt_events.events.topics import matches
from qt_events.testing.ledger.account import QUIET, Account, Line
from qt_events.testing.ledger.entries import Entry, Kind


@dataclass(slots=True)
class _Publish:
    """Publishes of one event."""

    type: str = ""
    # When it was first attempted
    at: float = 0.0
    attempts: int = 0
    confirms: int = 0
    failures: int = 0

    @property
    def unanswered(self) -> bool:
        return self.confirms + self.failures < self.attempts


@dataclass(slots=True)
class Totals:
    """Entries of all processes, in any order.

    A delivery is an event and a subscription that is to have it.
    """

    _publishes: dict[str, _Publish] = field(default_factory=lambda: defaultdict(_Publish))
    _handled: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    # The reason, and when it was noted.
    _dead: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    _errors: Counter[str] = field(default_factory=Counter)
    _faults: list[tuple[float, str]] = field(default_factory=list)

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries."""
        for entry in entries:
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        match entry.kind:
            case Kind.ATTEMPTED:
                publish = self._publishes[entry.id]
                publish.at = min(publish.at or entry.at, entry.at)
                publish.type, publish.attempts = entry.about, publish.attempts + 1
            case Kind.CONFIRMED:
                self._publishes[entry.id].confirms += 1
            case Kind.FAILED:
                self._publishes[entry.id].failures += 1
                self._errors[entry.about] += 1
            case Kind.HANDLED:
                self._handled[entry.about, entry.id].append(entry.at)
            case Kind.DEAD:
                _, noted = self._dead.get((entry.about, entry.id), ("", entry.at))
                self._dead[entry.about, entry.id] = entry.why, min(noted, entry.at)
            case Kind.FAULT:
                self._faults.append((entry.at, entry.id))

    # The result

    def account(self, subscriptions: Mapping[str, str]) -> Account:
        """Return the account, for subscriptions by name, each with the pattern that it hears."""
        lines, lost = _Lines(self._faults), []
        owed = dict.fromkeys(subscriptions, 0)
        for publish in self._publishes.values():
            lines.at(publish.at).events += publish.attempts > 0
        for delivery, publish in self._deliveries(subscriptions):
            owed[delivery[0]] += publish.confirms > 0
            self._count(lines.at(publish.at), delivery, publish)
            if publish.confirms and not self._has_outcome(delivery):
                lost.append(delivery)
        unexpected = self._count_what_is_too_much(subscriptions, lines)
        dead = self._dead.items()
        return Account(
            lines={name: line for name, line in lines.by_fault.items() if line != Line()},
            errors=dict(self._errors),
            owed=owed,
            dead=Counter((key[0], why) for key, (why, _) in dead if key not in self._handled),
            lost=tuple(lost),
            unexpected=unexpected,
            unanswered=sum(each.unanswered for each in self._publishes.values()),
        )

    def open(self, subscriptions: Mapping[str, str]) -> int:
        """Return how many deliveries are owed: confirmed, and neither handled nor dead so far."""
        return sum(
            publish.confirms > 0 and not self._has_outcome(delivery)
            for delivery, publish in self._deliveries(subscriptions)
        )

    def in_flight(
        self, subscriptions: Mapping[str, str], since: float, held: float = math.inf
    ) -> int:
        """Count deliveries without an answer, handled since, or owed: of these `held` at most."""
        under_way = owed = 0
        for delivery, publish in self._deliveries(subscriptions):
            if publish.unanswered or max(self._handled.get(delivery, [-math.inf])) >= since:
                under_way += 1
            elif publish.confirms and not self._has_outcome(delivery):
                owed += 1
        return under_way + int(min(owed, held))

    def _has_outcome(self, delivery: tuple[str, str]) -> bool:
        return delivery in self._handled or delivery in self._dead

    def _deliveries(
        self, subscriptions: Mapping[str, str]
    ) -> Iterator[tuple[tuple[str, str], _Publish]]:
        types = {publish.type for publish in self._publishes.values() if publish.attempts}
        for name, pattern in subscriptions.items():
            heard = {each for each in types if matches(pattern, each)}
            for event, publish in self._publishes.items():
                if publish.type in heard:
                    yield (name, event), publish

    def _count(self, line: Line, delivery: tuple[str, str], publish: _Publish) -> None:
        has_outcome = self._has_outcome(delivery)
        line.dead += delivery in self._dead and delivery not in self._handled
        if publish.confirms:
            line.ok += has_outcome
            line.lost += not has_outcome
        else:
            line.recovered += has_outcome
            line.failed += not has_outcome

    def _count_what_is_too_much(
        self, subscriptions: Mapping[str, str], lines: "_Lines"
    ) -> tuple[tuple[str, str], ...]:
        """Count duplicates and unexpected deliveries, and return the unexpected ones."""
        for times in self._handled.values():
            for at in sorted(times)[1:]:
                lines.at(at).duplicated += 1
        outcomes = {delivery: noted for delivery, (_, noted) in self._dead.items()}
        outcomes |= {delivery: min(times) for delivery, times in self._handled.items()}
        unexpected = tuple(each for each in outcomes if not self._is_owed(each, subscriptions))
        for delivery in unexpected:
            lines.at(outcomes[delivery]).unexpected += 1
        return unexpected

    def _is_owed(self, delivery: tuple[str, str], subscriptions: Mapping[str, str]) -> bool:
        name, event = delivery
        publish, pattern = self._publishes.get(event), subscriptions.get(name)
        return publish is not None and pattern is not None and matches(pattern, publish.type)


class _Lines:
    """Lines by fault. A moment belongs to the last fault before it."""

    def __init__(self, faults: Iterable[tuple[float, str]]) -> None:
        self._strikes = sorted(faults)
        self.by_fault = {QUIET: Line(), **{name: Line() for _, name in self._strikes}}
        for _, name in self._strikes:
            self.by_fault[name].struck += 1

    def at(self, moment: float) -> Line:
        before = bisect_right(self._strikes, moment, key=lambda strike: strike[0])
        return self.by_fault[self._strikes[before - 1][1] if before else QUIET]
