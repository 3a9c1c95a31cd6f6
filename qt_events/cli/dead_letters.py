"""`qt-events dead-letters`: dead letters looked at, sent back, discarded or exported."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from qt_events.cli.dead_letters_filter import EventId, ExceptionType, Since, Type, filter_of
from qt_events.cli.dead_letters_output import (
    Overview,
    Skipped,
    as_json,
    groups_as_json,
    print_overview,
    print_record,
)
from qt_events.cli.errors import FAILED, INTERRUPTED
from qt_events.cli.options import App, AsJson, ManagementUrl, Prefix, Url, Yes
from qt_events.cli.progress import Bar
from qt_events.cli.terminal import complain, confirm, dumps, say
from qt_events.errors import InvalidOptionError, QtEventsError

if TYPE_CHECKING:
    from qt_events.dead_letters.filters import DeadLetterFilter
    from qt_events.dead_letters.operations import DeadLetters
    from qt_events.dead_letters.record import DeadLetterRecord

T = TypeVar("T")

dead_letters = typer.Typer(
    no_args_is_help=True,
    help="Look at dead letters, send them back, discard or export them.\n\n"
    "Every command needs a --url or an --app. --subscription names one subscription, whether the "
    "app knows it or not. Without it, a command is about the app's subscriptions; with --url "
    "alone, or with --management-url, about all that the management API lists on the broker.",
)

Subscription = Annotated[
    str | None,
    typer.Option("--subscription", "-s", metavar="NAME", help="Subscription they belong to."),
]
Rate = Annotated[
    float | None, typer.Option(metavar="N", help="Send back at most this many a second.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")]
Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Ids, as `list` shows them.", show_default=False),
]
All = Annotated[
    bool, typer.Option("--all", help="All that the --subscription has now, or those that fit.")
]
Limit = Annotated[int, typer.Option(min=1, metavar="N", help="Number to show one by one.")]
Oldest = Annotated[bool, typer.Option("--oldest", help="Show the oldest, not the newest.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Default: standard output.", dir_okay=False
    ),
]


@dataclass(frozen=True)
class Source:
    """Broker whose dead letters a command is about, as its options name it."""

    app: str | None
    url: str | None
    prefix: str | None
    management_url: str | None

    def run(
        self,
        subscription: str | None,
        action: Callable[["DeadLetters"], Coroutine[Any, Any, T]],
        bar: Bar,
    ) -> T:
        """Run an action on the dead letters; Ctrl-C and errors say how far it came."""
        from qt_events.rabbitmq.operating.target import find_target

        target = find_target(self.app, self.url, self.prefix)
        try:
            letters = target.dead_letters(subscription, self.management_url)
            with bar:
                return asyncio.run(action(letters))
        except KeyboardInterrupt:
            complain(f"interrupted: {bar.describe()}")
            raise typer.Exit(INTERRUPTED) from None
        except QtEventsError:
            if bar.has_begun:
                complain(bar.describe())
            raise
        finally:
            target.bus.close()


async def _each(
    letters: "DeadLetters",
    subscription: str | None,
    bar: Bar,
    take: Callable[["DeadLetterRecord"], object],
    where: "DeadLetterFilter | None",
) -> None:
    streamed = letters.stream(subscription, where=where, on_scan=bar.show_scan)
    async with aclosing(streamed) as records:
        async for record in records:
            take(record)
            bar.count()


@dead_letters.command("list")
def list_(
    subscription: Subscription = None,
    limit: Limit = 50,
    oldest: Oldest = False,
    type_: Type = None,
    exception: ExceptionType = None,
    event: EventId = None,
    since: Since = None,
    as_json_: AsJson = False,
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
) -> None:
    """Count dead letters by their error, and show some of them. Nothing is changed."""
    overview, bar = Overview(limit, oldest=oldest), Bar("read")
    where = filter_of(type_, exception, event, since)
    Source(app, url, prefix, management_url).run(
        subscription, lambda letters: _each(letters, subscription, bar, overview.add, where), bar
    )
    if not as_json_:
        print_overview(overview)
        return
    some = [as_json(record, short=True) for record in overview.some]
    groups = groups_as_json(overview.groups)
    print(dumps({"total": overview.total, "groups": groups, "dead_letters": some}, indent=2))


@dead_letters.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="Id, as `list` shows it.")],
    subscription: Subscription = None,
    as_json_: AsJson = False,
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
) -> None:
    """Show one dead letter with its traceback and its event as it was."""
    source, bar = Source(app, url, prefix, management_url), Bar("shown")
    options: dict[str, Any] = {"subscription": subscription, "on_scan": bar.show_scan}
    record = source.run(subscription, lambda letters: letters.show(id, **options), bar)
    if as_json_:
        print(dumps(as_json(record), indent=2))
    else:
        print_record(record)


@dead_letters.command()
def retry(
    ids: Ids = None,
    all_: All = False,
    subscription: Subscription = None,
    type_: Type = None,
    exception: ExceptionType = None,
    event: EventId = None,
    since: Since = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
) -> None:
    """Send some or all back to their own subscription, as first attempts.

    Each is removed when the broker has confirmed that the event is in its queue. Exit code 1 if
    one could not be sent back, and stays. Those not sent when Ctrl-C is pressed stay, too.
    """
    where = filter_of(type_, exception, event, since)
    _check_choice(ids, all_=all_, subscription=subscription, where=where)
    bar, skipped = Bar("would be sent back" if dry_run else "sent back"), Skipped()
    options: dict[str, Any] = {"rate": rate, "dry_run": dry_run, "on_progress": bar.show}

    async def send(letters: "DeadLetters") -> int:
        if ids:
            return await letters.retry_many(
                ids, subscription=subscription, on_scan=bar.show_scan, **options
            )
        return await letters.retry_all(
            str(subscription), where=where, on_skipped=skipped.add, **options
        )

    done = Source(app, url, prefix, management_url).run(subscription, send, bar)
    say(f"{done:,} {bar.action}")
    if skipped:
        complain(*skipped.lines())
        raise typer.Exit(FAILED)


@dead_letters.command()
def discard(
    ids: Ids = None,
    all_: All = False,
    subscription: Subscription = None,
    type_: Type = None,
    exception: ExceptionType = None,
    event: EventId = None,
    since: Since = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
) -> None:
    """Remove some for good, or all of a subscription.

    --all asks first, and removes no more than it has asked about. Exit code 1 if the answer is no.
    """
    where = filter_of(type_, exception, event, since)
    _check_choice(ids, all_=all_, subscription=subscription, where=where)
    source = Source(app, url, prefix, management_url)
    bar = Bar("would be discarded" if dry_run else "discarded")
    options: dict[str, Any] = {"dry_run": dry_run, "on_progress": bar.show}
    if all_ and not (dry_run or yes):
        found = _counted(source, str(subscription), where)
        confirm(f"Remove {found:,} dead letters of {subscription!r} for good?")
        if not found:
            say(f"0 {bar.action}")
            return
        options["limit"] = found

    async def remove(letters: "DeadLetters") -> int:
        if ids:
            return await letters.discard_many(
                ids, subscription=subscription, on_scan=bar.show_scan, **options
            )
        return await letters.discard_all(str(subscription), where=where, **options)

    say(f"{source.run(subscription, remove, bar):,} {bar.action}")


@dead_letters.command()
def export(
    output: Output = None,
    subscription: Subscription = None,
    type_: Type = None,
    exception: ExceptionType = None,
    event: EventId = None,
    since: Since = None,
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
) -> None:
    """Write all as JSON Lines: one dead letter a line, with everything that is known of it.

    The body is text (`body`) if it is UTF-8, else Base64 (`body_base64`). Nothing is removed.
    """
    bar, where = Bar("written"), filter_of(type_, exception, event, since)

    async def write(letters: "DeadLetters") -> None:
        with (
            output.open("w", encoding="ascii") if output else open(1, "w", closefd=False)  # noqa: ASYNC230
        ) as file:
            await _each(
                letters,
                subscription,
                bar,
                lambda each: file.write(dumps(as_json(each)) + "\n"),
                where,
            )

    Source(app, url, prefix, management_url).run(subscription, write, bar)
    if output:
        say(f"{bar.progress.done:,} written to {output}", err=True)


def _counted(source: Source, subscription: str, where: "DeadLetterFilter | None") -> int:
    bar = Bar("counted")
    options: dict[str, Any] = {"dry_run": True, "on_progress": bar.show}
    return source.run(
        subscription,
        lambda letters: letters.discard_all(subscription, where=where, **options),
        bar,
    )


def _check_choice(
    ids: list[str] | None, *, all_: bool, subscription: str | None, where: object
) -> None:
    if bool(ids) == all_:
        raise InvalidOptionError("name dead letters by their ids, or give --all")
    if ids and where is not None:
        raise InvalidOptionError("ids name them one by one: give --all with --type and the like")
    if all_ and subscription is None:
        raise InvalidOptionError("--all is for one subscription: give --subscription NAME, too")
