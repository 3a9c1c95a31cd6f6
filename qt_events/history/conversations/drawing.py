"""Drawing of a conversation: lines of a tree for a terminal, or a Mermaid flowchart.

Anybody may have published what is drawn, so no line holds a control character.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from qt_events.history.conversations.trace import Conversation, Step
from qt_events.history.conversations.words import UNKNOWN, attempt, moment, name, state

#: Causes above an event that are drawn as lines; a number stands for the rest.
_DEEPEST = 20
_NO_MARKUP = re.compile(r"[^\w ,.:()/-]")


class Line(NamedTuple):
    """One line of a tree."""

    #: Lines that connect it with its cause.
    guide: str
    #: event, missing, subscription, attempt or note.
    kind: str
    text: str


def tree(conversation: Conversation, now: datetime) -> Iterator[Line]:
    """Draw a conversation; `now` decides what is over.

    Attempts name their workers if there was more than one.
    """
    steps, last_at = conversation.steps, list[bool]()
    names_workers = len(conversation.workers) > 1
    for place, step in enumerate(steps):
        del last_at[step.depth :]
        above = _guide(last_at)
        branch = ("└─ " if step.is_last else "├─ ") if step.depth else ""
        yield Line(above + branch, "missing" if step.stored is None else "event", _title(step, now))
        last_at.append(step.is_last)
        has_more = place + 1 < len(steps) and steps[place + 1].depth > step.depth
        below = _guide(last_at) + ("│  " if has_more else "   ")
        for kind, text in _details(step, now, names_workers=names_workers):
            yield Line(below, kind, text)


def _guide(last_at: list[bool]) -> str:
    # A root hangs below nothing.
    hidden = max(0, len(last_at) - 1 - _DEEPEST)
    lines = "".join("   " if is_last else "│  " for is_last in last_at[hidden + 1 :])
    return f"({hidden} more) {lines}" if hidden else lines


def _title(step: Step, now: datetime) -> str:
    if step.stored is None:
        return f"{name(step.id)}  ({step.note})"
    event = step.stored.event
    time = f"{moment(event.time, now)}.{event.time.microsecond // 1000:03}"
    return f"{name(event.type)}  {name(event.id)}  {time}  from {name(event.source)}"


def _details(
    step: Step, now: datetime, *, names_workers: bool = False
) -> Iterator[tuple[str, str]]:
    if step.stored is None:
        return
    if step.note:
        yield "note", f"it {step.note}"
    if not step.stories:
        yield "note", UNKNOWN
    for story in step.stories:
        worker = f"  {name(story.last.worker)}" if names_workers else ""
        yield "subscription", f"{name(story.subscription)} {state(story, now)}{worker}"
        if len(story.fates) > 1:
            for fate in story.fates:
                worker = f"  {name(fate.worker)}" if names_workers else ""
                yield "attempt", f"  {fate.attempt or '?':>2}  {attempt(fate, now)}{worker}"


def mermaid(conversation: Conversation, now: datetime) -> Iterator[str]:
    """Return the lines of a flowchart, as documents take them between ```mermaid and ```."""
    yield "flowchart TD"
    for place, step in enumerate(conversation.steps):
        if step.stored is None:
            yield f'    e{place}["{_plain(step.id)}<br>{_plain(step.note)}"]:::missing'
        else:
            lines = [step.stored.event.type, step.id, *(text for _, text in _short(step, now))]
            yield f'    e{place}["{"<br>".join(map(_plain, lines))}"]'
        if step.cause is not None:
            yield f"    e{step.cause} --> e{place}"
    yield "    classDef missing stroke-dasharray: 4"


def _short(step: Step, now: datetime) -> Iterator[tuple[str, str]]:
    return (each for each in _details(step, now) if each[0] != "attempt")


def _plain(text: str) -> str:
    """Return a text whose every other character is a code: nothing of it is markup."""
    return _NO_MARKUP.sub(lambda found: f"#{ord(found.group())};", name(text))
