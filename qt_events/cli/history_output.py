"""Events, fates and conversations of a history as tables, text, JSON and CSV.

Anybody may have published them, so nothing in them reaches a terminal as a control character.
"""

import base64
import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qt_events.cli.terminal import dumps, plain, wide_console
from qt_events.delivery.telling.fates import Fate
from qt_events.history.conversations.drawing import tree
from qt_events.history.conversations.stories import Story, by_event, stories_of
from qt_events.history.conversations.trace import Conversation
from qt_events.history.conversations.words import UNKNOWN, attempt, name, state, summary
from qt_events.history.store import StoredEvent
from qt_events.history.where import payload_of
from qt_events.texts import one_line, printable

COLUMNS = (
    "sequence", "recorded_at", "type", "id", "source", "time", "correlation_id", "causation_id",
    "content_type",
)  # fmt: skip
_STYLES = {"event": "bold", "missing": "dim", "note": "dim", "attempt": "dim", "subscription": ""}


def as_json(stored: StoredEvent) -> dict[str, Any]:
    """Return every column; the body as text, or in Base64 if it is none."""
    fields = {each: plain(_field(stored, each)) for each in COLUMNS}
    try:
        return {**fields, "body": stored.event.body.decode()}
    except UnicodeDecodeError:
        return {**fields, "body_base64": base64.b64encode(stored.event.body).decode()}


def as_csv(rows: Iterable[StoredEvent], *, head: bool = False) -> str:
    """Return rows of CSV, a line each, with the names of the columns if asked."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if head:
        writer.writerow((*COLUMNS, "body"))
    for each in rows:
        fields = (plain(_field(each, column)) for column in COLUMNS)
        body = each.event.body.decode(errors="backslashreplace")
        writer.writerow(each if each is None else one_line(str(each)) for each in (*fields, body))
    return text.getvalue()


def fate_as_json(fate: Fate) -> dict[str, Any]:
    """Return every field of a fate."""
    return {each: plain(value) for each, value in fate._asdict().items()}


def step_as_json(conversation: Conversation) -> Iterator[dict[str, Any]]:
    """Return the steps of a conversation, in the order of the tree."""
    for place, step in enumerate(conversation.steps):
        told = [fate_as_json(fate) for story in step.stories for fate in story.fates]
        event = None if step.stored is None else as_json(step.stored)
        where = {"place": place, "cause": step.cause, "depth": step.depth, "note": step.note}
        yield {**where, "id": step.id, "event": event, "fates": told}


def _field(stored: StoredEvent, column: str) -> Any:
    return getattr(stored if column in StoredEvent._fields else stored.event, column)


def print_events(
    events: Sequence[StoredEvent], fates: Iterable[Fate], *, head: bool = True
) -> None:
    """Print a table of events, with the names of the columns if asked; times are UTC."""
    told = by_event(fates)
    table = Table("time (UTC)", "type", "id", "source", "fates", box=SIMPLE, show_header=head)
    for column in table.columns:
        column.overflow = "fold"
    for each in events:
        event = each.event
        stories = stories_of(told.get((event.id, event.source), ()))
        texts = (f"{event.time:%Y-%m-%d %H:%M:%S}", event.type, event.id, event.source)
        table.add_row(*(Text(name(text)) for text in (*texts, _counted(stories))))
    wide_console().print(table)


def _counted(stories: Sequence[Story]) -> str:
    found = Counter(each.last.outcome.replace("_", " ") for each in stories)
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.items())) or "unknown"


def print_event(stored: StoredEvent, stories: Sequence[Story], now: datetime) -> None:
    """Print what became of an event in words, then its attributes and its payload."""
    console = wide_console()
    _print(console, Text(summary(stories, now), "bold"))
    for story in stories:
        _print(console, Text(f"  {name(story.subscription)} {state(story, now)}"))
        for fate in story.fates:
            number = fate.attempt or "?"
            _print(console, Text(f"    {number:>2}  {attempt(fate, now)}  {name(fate.worker)}"))
    for column in COLUMNS:
        text = "" if (value := _field(stored, column)) is None else str(plain(value))
        _print(console, Text.assemble((f"{column:<16} ", "bold"), printable(text)))
    payload = payload_of(stored.event)
    body = stored.event.body.decode(errors="backslashreplace")
    text = dumps(payload, indent=2) if payload is not None else printable(body)
    _print(console, Text(f"\npayload ({len(stored.event.body):,} bytes as on the wire)", "bold"))
    _print(console, Text(text))
    if not stories:
        _print(console, Text(f"\n{UNKNOWN} does not mean unhandled", "dim"))


def print_conversation(conversation: Conversation, now: datetime) -> None:
    """Print the tree of a conversation."""
    console = wide_console()
    for line in tree(conversation, now):
        _print(console, Text.assemble((line.guide, "dim"), (line.text, _STYLES[line.kind])))
    _print(
        console,
        Text(
            f"{conversation.events:,} events by causation; times are UTC. An event names the event "
            "that caused it, not the subscription.",
            "dim",
        ),
    )


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)
