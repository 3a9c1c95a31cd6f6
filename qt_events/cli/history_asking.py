"""`list`, `show`, `trace` and `export` of `qt-events history`: what became of events."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING, Annotated

import typer

from qt_events.cli.errors import INTERRUPTED
from qt_events.cli.history_filter import (
    Asked,
    Causation,
    Conditions,
    Correlation,
    Dead,
    Id,
    Retrying,
    Since,
    Source,
    Type,
    UnhandledBy,
    Until,
)
from qt_events.cli.history_options import StoreUrl
from qt_events.cli.options import AsJson
from qt_events.cli.terminal import complain, dumps, say

if TYPE_CHECKING:
    from qt_events.history.store import Store, StoredEvent


class Format(StrEnum):
    """Forms of an export."""

    NDJSON = "ndjson"
    CSV = "csv"


After = Annotated[
    int,
    typer.Option(
        "--after", min=0, metavar="CURSOR", help="Begin behind this: the `sequence` of an event."
    ),
]
Newest = Annotated[
    bool, typer.Option("--newest", help="Begin with the newest, and go on with older ones.")
]
Limit = Annotated[int, typer.Option(min=1, metavar="N", help="Number to show.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", dir_okay=False,
        help="Default: standard output. The file appears when all is in it.",
    ),
]  # fmt: skip
EventId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of an event, or a beginning that only it has.")
]
OneSource = Annotated[
    str | None,
    typer.Option("--source", metavar="NAME", help="Source of the event, if two have its id."),
]


def list_(
    store: StoreUrl = "",
    type: Type = "#",
    since: Since = None,
    until: Until = None,
    source: Source = None,
    id: Id = None,
    correlation: Correlation = None,
    causation: Causation = None,
    where: Conditions = None,
    dead: Dead = False,
    retrying: Retrying = False,
    unhandled_by: UnhandledBy = None,
    newest: Newest = False,
    limit: Limit = 50,
    after: After = 0,
    as_json_: AsJson = False,
) -> None:
    """Show events in the order of their recording, page by page, and how their fates ended.

    `unknown` means that no fate was told. With --json one line an event.
    """
    asked = Asked(
        type, since, until, source, id, correlation, causation, where, dead, retrying, unhandled_by
    )  # fmt: skip
    which, conditions = asked.filter(), asked.conditions()
    with _opened(store) as kept:
        from qt_events.cli.history_output import as_json, print_events
        from qt_events.history.asking import fates_of, pages

        count = cursor = left = 0
        # One more shows whether others follow.
        for page in pages(
            kept, which, conditions, after=after, limit=limit + 1, newest_first=newest
        ):
            shown = page[: limit - count]
            left += len(page) - len(shown)
            if as_json_:
                for each in shown:
                    print(dumps(as_json(each)))
                sys.stdout.flush()
            elif shown:
                print_events(shown, fates_of(kept, shown), head=not count)
            if shown:
                count, cursor = count + len(shown), shown[-1].sequence
        more = f", others follow: --after {cursor}" if left else ""
        if not as_json_:
            say(f"{count:,} events{more}")


def show(
    id: EventId, store: StoreUrl = "", source: OneSource = None, as_json_: AsJson = False
) -> None:
    """Say in words what became of an event, and show it."""
    with _opened(store) as kept:
        from qt_events.cli.history_output import as_json, fate_as_json, print_event
        from qt_events.history.asking import find
        from qt_events.history.conversations.stories import stories_of
        from qt_events.history.conversations.words import summary

        stored, now = find(kept, id, source), datetime.now(UTC)
        told = kept.fates_of([stored.event.id])
        own = [each for each in told if each.event_source == stored.event.source]
        if as_json_:
            words = {"summary": summary(stories_of(own), now)}
            print(dumps(words | as_json(stored) | {"fates": [*map(fate_as_json, own)]}, indent=2))
        else:
            print_event(stored, stories_of(own), now)


def trace(
    id: EventId,
    store: StoreUrl = "",
    source: OneSource = None,
    as_mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Write a Mermaid flowchart, for a document.")
    ] = False,
    as_json_: AsJson = False,
) -> None:
    """Draw the whole conversation of an event as a tree: what caused what, and what became of it.

    Under each event its subscriptions with their attempts and waits, then its consequences. ID may
    be a correlation id, too.
    """
    with _opened(store) as kept:
        from qt_events.cli.history_output import print_conversation, step_as_json
        from qt_events.history import asking
        from qt_events.history.conversations.drawing import mermaid

        found, now = asking.trace(kept, id, source), datetime.now(UTC)
        if as_json_:
            steps = list(step_as_json(found))
            print(dumps({"correlation_id": found.correlation_id, "steps": steps}, indent=2))
        elif as_mermaid:
            for line in mermaid(found, now):
                print(line)
        else:
            print_conversation(found, now)


def export(
    store: StoreUrl = "",
    output: Output = None,
    format: Annotated[Format, typer.Option(help="Form of the file.")] = Format.NDJSON,
    type: Type = "#",
    since: Since = None,
    until: Until = None,
    source: Source = None,
    id: Id = None,
    correlation: Correlation = None,
    causation: Causation = None,
    where: Conditions = None,
    dead: Dead = False,
    retrying: Retrying = False,
    unhandled_by: UnhandledBy = None,
    after: After = 0,
) -> None:
    """Write any number of events, as JSON Lines or CSV, with their bodies as on the wire.

    Exit code 130 after Ctrl-C: a file is then not written at all.
    """
    asked = Asked(
        type, since, until, source, id, correlation, causation, where, dead, retrying, unhandled_by
    )  # fmt: skip
    which, conditions = asked.filter(), asked.conditions()
    with _opened(store) as kept:
        from qt_events.cli.progress import Bar
        from qt_events.history.asking import pages

        # Conditions on the payload are not counted: that would read everything twice.
        total = 0 if conditions else kept.count(which)
        done, text_of = 0, _format(format)
        try:
            with Bar("written") as bar, _file(output) as file:
                for page in pages(kept, which, conditions, after=after):
                    file.write(text_of(page))
                    done += len(page)
                    bar.show_done(done, total)
        except KeyboardInterrupt:
            complain(f"interrupted: {done:,} events written")
            raise typer.Exit(INTERRUPTED) from None
    if output:
        say(f"{done:,} events written to {output}", err=True)


def _format(format: Format) -> "Callable[[list[StoredEvent]], str]":
    from qt_events.cli.history_output import as_csv, as_json

    if format == Format.NDJSON:
        return lambda page: "".join(dumps(as_json(each)) + "\n" for each in page)
    head = iter([True])
    return lambda page: as_csv(page, head=next(head, False))


@contextmanager
def _file(output: Path | None) -> Iterator[IO[str]]:
    """Lend standard output, or a file that takes its name when it is complete.

    What a link points at is written, and so is a device or a at once.
    """
    if output is None:
        yield sys.stdout
        return
    if output.exists() and not output.is_file():
        with output.open("w", encoding="utf-8") as device:
            yield device
        return
    output = output.resolve()
    with NamedTemporaryFile(
        "w", dir=output.parent, prefix=f".{output.name}.", encoding="utf-8", delete=False
    ) as file:
        try:
            yield file
            file.close()
            Path(file.name).replace(output)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextmanager
def _opened(url: str) -> "Iterator[Store]":
    from qt_events.history import History

    kept = History(url, must_exist=True).store
    try:
        yield kept
    finally:
        kept.close()
