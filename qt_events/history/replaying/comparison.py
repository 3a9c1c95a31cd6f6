"""Comparison of what was published with what a rerun publishes, by causation. No input or output.

Ids and times differ by nature, so two events belong together if their causes do and their type and
source are the same: those with one id first, then those with one payload, then by their order.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from qt_events.events.cloudevents import CONTENT_TYPE
from qt_events.events.raw import RawEvent
from qt_events.history.where import payload_of

_Pair = tuple[RawEvent | None, RawEvent | None]


class Difference(NamedTuple):
    """One event that is not the same."""

    kind: Literal["missing", "added", "changed"]
    #: Types of the events that led to it, the root first.
    causes: tuple[str, ...]
    #: What the history has; None for an added one.
    before: RawEvent | None
    #: What the rerun published; None for a missing one.
    after: RawEvent | None

    @property
    def event(self) -> RawEvent:
        """The event as the history has it, or else as the rerun published it."""
        event = self.before or self.after
        # One of the two is always there.
        assert event is not None  # noqa: S101
        return event


class Causes:
    """Events, and which of them caused which.

    `roots` are those that none of the others caused; of a circle it is the first event.
    """

    def __init__(self, events: Iterable[RawEvent]) -> None:
        each_once: dict[tuple[str, str], RawEvent] = {}
        for event in events:
            each_once.setdefault((event.source, event.id), event)
        self.events = list(each_once.values())
        ids = {event.id for event in self.events}
        self._followed: dict[str, list[RawEvent]] = defaultdict(list)
        self.roots: list[RawEvent] = []
        for event in self.events:
            cause = event.causation_id
            if cause is None or cause == event.id or cause not in ids:
                self.roots.append(event)
            else:
                self._followed[cause].append(event)
        self._add_circles()

    def of(self, event: RawEvent | None) -> Sequence[RawEvent]:
        """Return what an event has caused directly, in the order of the events."""
        return () if event is None else self._followed.get(event.id, ())

    def _add_circles(self) -> None:
        reached: set[int] = set()
        for number, start in enumerate((*self.roots, *self.events)):
            if id(start) in reached:
                continue
            if number >= len(self.roots):
                self.roots.append(start)
            waiting = [start]
            while waiting:
                event = waiting.pop()
                if id(event) not in reached:
                    reached.add(id(event))
                    waiting.extend(self.of(event))
        # The first event of a circle is a root, and not what its last one caused as well.
        roots = {id(each) for each in self.roots}
        for cause, followed in self._followed.items():
            self._followed[cause] = [each for each in followed if id(each) not in roots]


def differences(before: Causes, after: Causes) -> Iterator[Difference]:
    """Return what is missing, added or changed, causes before what they cause.

    The roots are taken one after another. An id in a payload that the rerun made anew is no
    difference, if it is that of an event which has been compared already.
    """
    names: dict[str, str] = {}
    passed: set[int] = set()
    for root in _matched(before.roots, after.roots, names):
        waiting: deque[tuple[tuple[str, ...], _Pair]] = deque([((), root)])
        while waiting:
            causes, pair = waiting.popleft()
            # Two sources may use one id: then both seem to have caused what only one has.
            old, new = (None if id(each) in passed else each for each in pair)
            if old is None and new is None:
                continue
            passed |= {id(each) for each in (old, new) if each is not None}
            if (kind := _kind(old, new, names)) is not None:
                yield Difference(kind, causes, old, new)
            below = (*causes, (old or new).type)  # type: ignore[union-attr]
            pairs = _matched(before.of(old), after.of(new), names)
            waiting.extend((below, pair) for pair in pairs)


def _kind(
    old: RawEvent | None, new: RawEvent | None, names: Mapping[str, str]
) -> Literal["missing", "added", "changed"] | None:
    if old is None or new is None:
        return "missing" if new is None else "added"
    return None if _said(old, {}) == _said(new, names) else "changed"


def _matched(
    before: Sequence[RawEvent], after: Sequence[RawEvent], names: dict[str, str]
) -> list[_Pair]:
    """Return pairs of siblings in the order of `before`, then those of `after` alone."""
    found: dict[int, RawEvent] = {}
    left = list(after)
    for key_of in (_by_id, _by_payload, _by_kind):
        waiting: dict[Any, deque[RawEvent]] = defaultdict(deque)
        for new in left:
            waiting[key_of(new, names)].append(new)
        for old in before:
            if id(old) not in found and (same := waiting.get(key_of(old, {}))):
                found[id(old)] = same.popleft()
        taken = {id(new) for new in found.values()}
        left = [new for new in left if id(new) not in taken]
    names.update({found[id(old)].id: old.id for old in before if id(old) in found})
    return [*((old, found.get(id(old))) for old in before), *((None, new) for new in left)]


def _by_id(event: RawEvent, _names: Mapping[str, str]) -> Any:
    return event.type, event.source, event.id


def _by_payload(event: RawEvent, names: Mapping[str, str]) -> Any:
    return event.type, event.source, _said(event, names)


def _by_kind(event: RawEvent, _names: Mapping[str, str]) -> Any:
    return event.type, event.source


def _said(event: RawEvent, names: Mapping[str, str]) -> str:
    """Return the payload in one form for one meaning; of what is no JSON, the body."""
    payload = payload_of(event)
    if payload is None:
        return repr(event.body) if event.content_type != CONTENT_TYPE else "null"
    return json.dumps(_renamed(payload, names), sort_keys=True)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]
    if isinstance(value, dict):
        return {_renamed(key, names): _renamed(each, names) for key, each in value.items()}
    return value
