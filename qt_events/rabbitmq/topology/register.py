"""Register: what the processes of a prefix have declared, kept on the broker. Pure.

AMQP tells nobody who else declared a queue, nor how it is bound. So a process that declares a
subscription writes down whose it is, the patterns that it binds, and those that it unbinds.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import time_ns
from typing import Any, NamedTuple, Self

from qt_events.events.topics import matches, spelling_of

#: Unbound patterns that are kept of a subscription, and owners. A program may make any number.
MOST = 200


class Owner(NamedTuple):
    """Declarer of a subscription."""

    service: str  #: empty where it is not known
    handler: str  #: see identity_of


class Mark(NamedTuple):
    """Last change of a pattern."""

    changed: int  #: microseconds since 1970, and always later than the change before
    bound: bool  #: a binding was made; else removed


@dataclass(slots=True)
class Entry:
    """One subscription."""

    owners: dict[Owner, int] = field(default_factory=dict)  #: with the time of their first word
    #: Number of times that it was handed over: owners of an earlier term do not count.
    term: int = 0
    patterns: dict[str, Mark] = field(default_factory=dict)
    quarantine: bool = False  #: its quarantine is, or is about to be, on the broker

    @property
    def bound(self) -> list[str]:
        """Patterns that its queue is bound by, as far as anybody has written it down."""
        return [pattern for pattern, mark in self.patterns.items() if mark.bound]

    @property
    def unbound(self) -> list[str]:
        """Patterns whose binding its own declarations have removed."""
        return [pattern for pattern, mark in self.patterns.items() if not mark.bound]

    def has_unbound(self, event_type: str) -> bool:
        """Return True if an event of this type came by a binding that was removed."""
        return not any_matches(self.bound, event_type) and any_matches(self.unbound, event_type)

    def add_owner(self, owner: Owner) -> None:
        self.owners.setdefault(owner, _now())
        _forget_oldest(self.owners, list(self.owners), self.owners.__getitem__)

    def hand_over(self, owner: Owner) -> None:
        """Make this the only owner."""
        self.owners, self.term = {owner: _now()}, self.term + 1

    def mark(self, pattern: str, *, bound: bool) -> bool:
        """Note a binding that is made or removed. Return True if it was the other way before."""
        before = self.patterns.get(pattern)
        if before is not None and before.bound == bound:
            return False
        later = max(_now(), before.changed + 1 if before else 0)
        self.patterns[pattern] = Mark(later, bound)
        _forget_oldest(self.patterns, self.unbound, lambda each: self.patterns[each].changed)
        return before is not None

    def merge(self, other: "Entry") -> None:
        """Take over what another copy knows: owners of the last term, changes that are newer."""
        self.quarantine |= other.quarantine
        if other.term > self.term:
            self.owners, self.term = dict(other.owners), other.term
        elif other.term == self.term:
            self.owners = {**self.owners, **other.owners}
        for pattern, mark in other.patterns.items():
            self.patterns[pattern] = max(mark, self.patterns.get(pattern, mark))


@dataclass(slots=True)
class Register:
    """All subscriptions of a prefix, by name."""

    entries: dict[str, Entry] = field(default_factory=dict)
    #: There was a bus before there was a register: what is not in it may have a quarantine.
    is_younger: bool = False

    def of(self, name: str) -> Entry:
        """Return a subscription's entry; an empty one if nothing is known of it."""
        return self.entries.setdefault(name, Entry())

    def enter(self, name: str, has_quarantine: Callable[[str], bool]) -> Entry:
        """Return a subscription's entry. A new one may have a quarantine of an older release."""
        if self.is_younger and name not in self.entries:
            self.of(name).quarantine = has_quarantine(name)
        return self.of(name)

    def note_quarantine(self, *names: str) -> bool:
        """Note that these subscriptions have one, and return True."""
        for name in names:
            self.of(name).quarantine = True
        return True

    def merge(self, other: "Register") -> None:
        self.is_younger |= other.is_younger
        for name, entry in other.entries.items():
            self.of(name).merge(entry)

    def encode(self) -> bytes:
        found = {name: _as_json(entry) for name, entry in self.entries.items()}
        return json.dumps({"subscriptions": found, "younger": self.is_younger}).encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read what `encode` wrote. ValueError: that is no register."""
        try:
            whole = json.loads(body)
            found = {str(name): _from_json(each) for name, each in whole["subscriptions"].items()}
            return cls(found, bool(whole.get("younger", True)))
        except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ValueError(f"no register: {error!r}") from error


def _as_json(entry: Entry) -> dict[str, Any]:
    return {
        "owners": [[*owner, since] for owner, since in entry.owners.items()],
        "term": entry.term,
        "patterns": {
            name: [mark.changed, "bound" if mark.bound else "unbound"]
            for name, mark in entry.patterns.items()
        },
        "quarantine": entry.quarantine,
    }


def _from_json(found: Mapping[str, Any]) -> Entry:
    entry = Entry(
        {Owner(str(service), str(handler)): int(at) for service, handler, at in found["owners"]},
        int(found["term"]),
        # Releases that do not write it down make one for each subscription.
        quarantine=bool(found.get("quarantine", True)),
    )
    for name, (changed, bound) in found["patterns"].items():
        mark, pattern = Mark(int(changed), bound == "bound"), spelling_of(str(name))
        # A former release may have written another spelling.
        entry.patterns[pattern] = max(mark, entry.patterns.get(pattern, mark))
    return entry


def _now() -> int:
    return time_ns() // 1000


def any_matches(patterns: Iterable[str], event_type: str) -> bool:
    return any(matches(pattern, event_type) for pattern in patterns)


def _forget_oldest(of: dict[Any, Any], among: list[Any], age: Any) -> None:
    for each in sorted(among, key=age)[: max(0, len(among) - MOST)]:
        del of[each]


def is_covered(pattern: str, by: Iterable[str]) -> bool:
    """Return True if each event of this pattern is heard by another one that is seen to be wider.

    Two together may be wider, and that is not seen.
    """
    if "#" not in pattern.split("."):
        # A `*` is one word, whichever: only a wildcard matches it.
        return any(matches(each, pattern) for each in by)
    return any(
        each in {"#", pattern}
        or (each.endswith(".#") and "*" not in each and pattern.startswith(each[:-1]))
        for each in by
    )


def unknown_bindings(name: str, entry: Entry, patterns: tuple[str, ...]) -> list[str]:
    """Return a warning if the queue is bound by patterns that this process does not have."""
    others = [each for each in entry.bound if not is_covered(each, patterns)]
    if not others:
        return []
    text = (
        f"{name}: its queue is also bound by {', '.join(map(repr, others))}, which this process "
        "does not have. If another release has them, upgrade this one: until then it gives such "
        "events back. If they were dropped, run "
        f"`qt-events topology unbind {name} {' '.join(map(repr, others))}`"
    )
    return [text]
