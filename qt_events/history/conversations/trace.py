"""Conversation: all events with one correlation id, each below the event that caused it.

The wire names the event that caused another, not the subscription whose handler published it: so an
event stands below its cause, beside the cause's subscriptions, and not below one of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from qt_events.delivery.telling.fates import Fate
from qt_events.history.conversations.stories import Story, by_event, stories_of
from qt_events.history.store import StoredEvent

NOT_RECORDED = "not recorded in this conversation"
OWN_CAUSE = "names itself as its cause"
CIRCLE = "is a consequence of what it caused: the circle is cut here"


@dataclass(frozen=True, slots=True)
class Step:
    """Place of one event in a conversation, or of a cause that is not known."""

    #: Causes above it.
    depth: int
    #: Place of its cause in `Conversation.steps`.
    cause: int | None
    id: str
    #: None for a cause that is not known; `note` says why.
    stored: StoredEvent | None
    stories: tuple[Story, ...] = ()
    note: str = ""
    #: Nothing stands below the same cause after it.
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class Conversation:
    """Events by causation: each step comes before its consequences, and they before its sibling."""

    correlation_id: str
    steps: tuple[Step, ...]

    @property
    def events(self) -> int:
        """Return the number of events."""
        return sum(each.stored is not None for each in self.steps)

    @property
    def workers(self) -> set[str]:
        """Return the names of the processes that made attempts, each `host:pid`."""
        stories = (story for step in self.steps for story in step.stories)
        return {fate.worker for story in stories for fate in story.fates}


@dataclass(slots=True, eq=False)
class _Node:
    """Event, or unknown cause, before its place is known."""

    id: str
    stored: StoredEvent | None = None
    note: str = ""
    cause: "_Node | None" = None
    consequences: list["_Node"] = field(default_factory=list)


def conversation_of(
    correlation_id: str, events: Sequence[StoredEvent], fates: Iterable[Fate]
) -> Conversation:
    """Return the conversation of events in the order of their recording."""
    told = by_event(fates)
    steps: list[Step] = []
    # By depth: any number of causes may stand above one.
    waiting: list[tuple[_Node, int, int | None, bool]] = []
    waiting.extend((node, 0, None, True) for node in reversed(_roots(events)))
    while waiting:
        node, depth, cause, is_last = waiting.pop()
        place = len(steps)
        stories = _stories(node.stored, told)
        steps.append(Step(depth, cause, node.id, node.stored, stories, node.note, is_last))
        below = node.consequences
        waiting.extend((each, depth + 1, place, each is below[-1]) for each in reversed(below))
    return Conversation(correlation_id, tuple(steps))


def _stories(
    stored: StoredEvent | None, told: Mapping[tuple[str, str], list[Fate]]
) -> tuple[Story, ...]:
    if stored is None:
        return ()
    return tuple(stories_of(told.get((stored.event.id, stored.event.source), ())))


def _roots(events: Sequence[StoredEvent]) -> list[_Node]:
    """Hang each event below its cause, and return those that have none, or none that is known."""
    nodes = [_Node(each.event.id, each) for each in events]
    by_id: dict[str, list[_Node]] = {}
    for node in nodes:
        by_id.setdefault(node.id, []).append(node)
    roots: list[_Node] = []
    unknown: dict[str, _Node] = {}
    for node, each in zip(nodes, events, strict=True):
        cause = each.event.causation_id
        if cause is None:
            roots.append(node)
            continue
        found = by_id.get(cause, [])
        if found == [node]:
            node.note = OWN_CAUSE
            roots.append(node)
            continue
        if len(found) != 1 and cause not in unknown:
            note = f"one of {len(found)} events with this id" if found else NOT_RECORDED
            unknown[cause] = _Node(cause, note=note)
            roots.append(unknown[cause])
        node.cause = found[0] if len(found) == 1 else unknown[cause]
        node.cause.consequences.append(node)
    return roots + _cut_circles(nodes, roots)


def _cut_circles(nodes: Sequence[_Node], roots: Sequence[_Node]) -> list[_Node]:
    """Make roots of the first of each circle: nothing leads to it from a root."""
    seen = set(_below(roots))
    cut: list[_Node] = []
    for node in nodes:
        if node in seen:
            continue
        first = min(_circle_above(node), key=_recorded)
        if first.cause is not None:
            first.cause.consequences.remove(first)
        first.cause, first.note = None, CIRCLE
        cut.append(first)
        seen.update(_below([first]))
    return cut


def _recorded(node: _Node) -> int:
    return node.stored.sequence if node.stored else 0


def _circle_above(node: _Node) -> list[_Node]:
    # A dict keeps the order.
    above: dict[_Node, None] = {}
    while node not in above and node.cause is not None:
        above[node] = None
        node = node.cause
    passed = list(above)
    return passed[passed.index(node) :]


def _below(roots: Iterable[_Node]) -> Iterator[_Node]:
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.consequences)
