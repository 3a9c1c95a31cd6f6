"""Dead letters as tables, text and JSON.

Anybody may have sent them, so nothing in them reaches a terminal as a control character.
"""

import base64
import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qt_events.cli.terminal import wide_console
from qt_events.dead_letters.groups import DeadLetterGroup, DeadLetterGroups
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.texts import printable

if TYPE_CHECKING:
    from qt_events.errors import QtEventsError

_MOST_NAMED = 10  #: skipped dead letters that are named
_FIELDS = (
    "id", "subscription", "event_type", "event_id", "reason", "attempts", "exception_type",
    "message", "first_failed", "last_failed", "host",
)  # fmt: skip
_HEADS = ("id", "subscription", "event type", "last failed", "attempts", "error")
_LEAST = 12  #: columns of a cell that is folded or shortened
_BETWEEN = 3 * len(_HEADS) + 1  #: columns between the cells of a row, and around them
_NARROWEST = 36 + 20 + 8 + 3 * _LEAST + _BETWEEN  #: columns with an id, a time and a count


class Overview:
    """Overview of a stream of dead letters: all of them in groups, and some one by one."""

    def __init__(self, limit: int, *, oldest: bool) -> None:
        self._limit, self._sign = limit, -1.0 if oldest else 1.0
        self._groups = DeadLetterGroups()
        # A heap, the first one to be dropped at its head.
        self._some: list[tuple[float, int, DeadLetterRecord]] = []
        self._turn = count()

    def add(self, record: DeadLetterRecord) -> None:
        """Take one more."""
        self._groups.add(record)
        short = replace(record, body=b"", traceback="")
        heapq.heappush(
            self._some, (self._sign * _seconds(record.last_failed), next(self._turn), short)
        )
        if len(self._some) > self._limit:
            heapq.heappop(self._some)

    @property
    def total(self) -> int:
        """Number of all."""
        return self._groups.total

    @property
    def groups(self) -> Sequence[DeadLetterGroup]:
        """Groups of all, by error."""
        return self._groups.sorted()

    @property
    def some(self) -> Sequence[DeadLetterRecord]:
        """Dead letters to show one by one: the newest first, or the oldest."""
        return [record for _, _, record in sorted(self._some, reverse=True)]


def _seconds(time: datetime) -> float:
    try:
        return time.timestamp()
    except (OverflowError, ValueError):
        # Forged, of the year 1 or 9999.
        return 0.0


def as_json(record: DeadLetterRecord, *, short: bool = False) -> dict[str, Any]:
    """Return every field, the body as text or in Base64; if `short`, no traceback and no body."""
    fields: dict[str, Any] = {name: _plain(getattr(record, name)) for name in _FIELDS}
    if short:
        return fields
    whole = {"whole": record.whole, "properties": record.properties, "traceback": record.traceback}
    try:
        return {**fields, **whole, "body": record.body.decode()}
    except UnicodeDecodeError:
        return {**fields, **whole, "body_base64": base64.b64encode(record.body).decode()}


def groups_as_json(groups: Iterable[DeadLetterGroup]) -> list[dict[str, Any]]:
    """Return groups as JSON objects."""
    return [{name: _plain(value) for name, value in asdict(group).items()} for group in groups]


def dumps(value: object, indent: int | None = None) -> str:
    """Return JSON in ASCII: without `indent` one line, whatever was in a message."""
    return json.dumps(value, indent=indent, default=str)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def print_overview(overview: Overview, *, console: Console | None = None) -> None:
    """Print a table of the groups and one of some dead letters."""
    console = console or wide_console()
    console.print(_groups_table(overview.groups))
    if overview.some:
        # On a narrower terminal the lines go on in the next ones: nothing is left out.
        console.width = max(console.width, _NARROWEST)
        console.print(_records_table(overview.some, console.width))
    hidden = overview.total - len(overview.some)
    rest = f", {len(overview.some):,} of them shown: see --limit, or export" if hidden else ""
    console.print(f"{overview.total:,} dead letters{rest}", soft_wrap=True)


def print_record(record: DeadLetterRecord, *, console: Console | None = None) -> None:
    """Print every field on a line of its own, then traceback and body."""
    console = console or wide_console()
    for name in _FIELDS:
        _print_line(console, name, str(_plain(getattr(record, name))))
    for name, value in record.properties.items():
        _print_line(console, name, str(value))
    _print_block(console, "traceback", record.traceback)
    fields = as_json(record)
    body = fields.get("body") or fields.get("body_base64", "")
    part = "" if record.whole else ", only its beginning"
    _print_block(console, f"body ({len(record.body):,} bytes{part})", body)


def _print_line(console: Console, name: str, text: str) -> None:
    console.print(Text.assemble((f"{name:<16} ", "bold"), printable(text)), soft_wrap=True)


def _print_block(console: Console, name: str, text: str) -> None:
    console.print(Text(f"\n{name}", "bold"))
    for line in text.splitlines():
        console.print(Text(printable(line)), soft_wrap=True)


def _groups_table(groups: Iterable[DeadLetterGroup]) -> Table:
    table = _table("subscription", "reason", "exception", "count", "first failed", "last failed")
    table.columns[0].overflow, table.columns[3].justify = "fold", "right"
    for each in groups:
        times = (_short(each.first_failed), _short(each.last_failed))
        _add(table, each.subscription, each.reason, each.exception_type, f"{each.count:,}", *times)
    return table


def _records_table(records: Iterable[DeadLetterRecord], width: int) -> Table:
    """Return a table as wide as the console, whatever the records hold: all columns are seen."""
    table = _table(*_HEADS)
    rows = [_row(each) for each in records]
    # What rich may fold; the id is whole, for it is to be copied.
    for column in table.columns[1:3]:
        column.overflow, column.min_width = "fold", _LEAST
    for column in (table.columns[0], *table.columns[3:]):
        column.no_wrap = True
    table.columns[4].justify = "right"
    widest = [max(map(cell_len, cells)) for cells in zip(_HEADS, *rows, strict=True)]
    # Rich shrinks columns that may fold before one that may not, however long this one is.
    room = max(_LEAST, width - sum(widest[:-1]) - _BETWEEN)
    for *cells, error in rows:
        text = Text(error, no_wrap=True)
        text.truncate(room, overflow="ellipsis")
        table.add_row(*map(Text, cells), text)
    return table


def _row(record: DeadLetterRecord) -> tuple[str, ...]:
    error = ": ".join(filter(None, (record.exception_type or record.reason, record.message)))
    where = (record.id, record.subscription, record.event_type)
    when = (_short(record.last_failed), str(record.attempts))
    return tuple(map(printable, (*where, *when, error)))


def _table(*heads: str) -> Table:
    return Table(*heads, box=SIMPLE)


def _add(table: Table, *cells: str) -> None:
    table.add_row(*(Text(printable(cell)) for cell in cells))


def _short(time: datetime) -> str:
    return time.replace(microsecond=0).isoformat(" ").replace("+00:00", "Z")


class Skipped:
    """Dead letters that could not be sent back."""

    def __init__(self) -> None:
        self._count, self._named = 0, list[str]()

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, record: DeadLetterRecord, error: "QtEventsError") -> None:
        """Take one more, with the reason."""
        self._count += 1
        if len(self._named) < _MOST_NAMED:
            self._named.append(f"{printable(record.id)}: {printable(str(error))}")

    def lines(self) -> list[str]:
        """Return how many there are, and the first ones with their reasons."""
        more = self._count - len(self._named)
        return [f"{self._count:,} stay:", *self._named, *([f"and {more:,} more"] if more else [])]
