"""`qt-events dead-letters`: what failed for good, looked at, sent back, discarded or written out by an operator."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from qt_events.cli.dead_letters_progress import Bar, Skipped
from qt_events.cli.dead_letters_shown import (
    Overview,
    as_json,
    dumps,
    groups_as_json,
    print_overview,
    print_record,
)
from qt_events.cli.options import App, AsJson, Prefix, Yes, broker_url, management_url
from qt_events.errors import InvalidOptionError, InvalidUrlError, NotSupportedError, QtEventsError

if TYPE_CHECKING:
    from qt_events.dead_letters.interface import DeadLetters

T = TypeVar("T")

_INTERRUPTED = 130  # as a shell says it

dead_letters = typer.Typer(
    no_args_is_help=True,
    help="Look at what failed for good; send it back, discard it, write it out.\n\n"
    "Where they are: on the broker of an app (--app), or of a --url, without any code of the app. Whose they are: "
    "--subscription, which the app need not know; without it those of all subscriptions that the app knows, or, with "
    "--url or --management-url, of all there are: RabbitMQ's management API lists them, AMQP cannot.",
)

Subscription = Annotated[
    str | None,
    typer.Option(
        "--subscription", "-s", metavar="NAME", help="Whose; any that there is on the broker."
    ),
]
Url = Annotated[str | None, broker_url(instead_of="--app")]
ManagementUrl = Annotated[str | None, management_url(default="Default, with --url")]
Rate = Annotated[
    float | None, typer.Option(metavar="N", help="Send back at most so many a second.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")]
Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="As `list` shows them.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="All that a --subscription has now.")]


@dataclass(frozen=True)
class Place:
    """Where the dead letters are."""

    app: str
    url: str | None
    prefix: str
    management_url: str | None

    def work(
        self, subscription: str | None, does: Callable[["DeadLetters"], Awaitable[T]], bar: Bar
    ) -> T:
        """Have it done. Ctrl-C ends it in order: 130, and the bar says how far it came."""
        from qt_events.rabbitmq.operating.desk import bus_of, make_all_known

        try:
            bus = bus_of(self.app, self.url, self.prefix)
        except (InvalidOptionError, InvalidUrlError, NotSupportedError) as error:
            raise typer.BadParameter(str(error)) from error
        try:
            if subscription is None and (self.url or self.management_url):
                make_all_known(bus, self.management_url)
            with bar:
                return asyncio.run(_awaited(does(bus.dead_letters)))
        except InvalidOptionError as error:
            raise typer.BadParameter(str(error)) from error
        except KeyboardInterrupt:
            _complain(f"interrupted: {bar.told()}")
            raise typer.Exit(_INTERRUPTED) from None
        except QtEventsError:
            if bar.has_begun:
                _complain(bar.told())
            raise
        finally:
            bus.close()


async def _awaited(work: Awaitable[T]) -> T:
    return await work


@dead_letters.command("list")
def list_(
    subscription: Subscription = None,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many to show one by one.")
    ] = 50,
    oldest: Annotated[  # noqa: FBT002
        bool, typer.Option("--oldest", help="The oldest first, not the newest.")
    ] = False,
    as_json_: AsJson = False,  # noqa: FBT002
    app: App = "workers",
    url: Url = None,
    prefix: Prefix = "qt",
    management_url: ManagementUrl = None,
) -> None:
    """Count all by their error, and show some. Looking changes nothing."""
    overview, bar = Overview(limit, oldest=oldest), Bar("read")

    async def look(letters: "DeadLetters") -> None:
        async with aclosing(letters.stream(subscription, on_scan=bar.look)) as records:
            async for record in records:
                overview.add(record)
                bar.count()

    Place(app, url, prefix, management_url).work(subscription, look, bar)
    if not as_json_:
        print_overview(overview)
        return
    some = [as_json(record, short=True) for record in overview.some]
    groups = groups_as_json(overview.groups)
    print(dumps({"total": overview.total, "groups": groups, "dead_letters": some}, indent=2))


@dead_letters.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")],
    subscription: Subscription = None,
    as_json_: AsJson = False,  # noqa: FBT002
    app: App = "workers",
    url: Url = None,
    prefix: Prefix = "qt",
    management_url: ManagementUrl = None,
) -> None:
    """Show one with its traceback and its event as it was."""
    place, bar = Place(app, url, prefix, management_url), Bar("shown")
    options: dict[str, Any] = {"subscription": subscription, "on_scan": bar.look}
    record = place.work(subscription, lambda letters: letters.show(id, **options), bar)
    if as_json_:
        print(dumps(as_json(record), indent=2))
    else:
        print_record(record)


@dead_letters.command()
def retry(
    ids: Ids = None,
    all_: All = False,  # noqa: FBT002
    subscription: Subscription = None,
    rate: Rate = None,
    dry_run: DryRun = False,  # noqa: FBT002
    app: App = "workers",
    url: Url = None,
    prefix: Prefix = "qt",
    management_url: ManagementUrl = None,
) -> None:
    """Send some or all back to their subscription, that one only, as first attempts.

    Each is removed when the broker has confirmed that it is safe in its queue. Exits with 1 if one could not be sent
    back, which stays then. After Ctrl-C what was not sent is a dead letter still.
    """
    _must_say_which(ids, all_=all_, subscription=subscription)
    bar, skipped = Bar("would be sent back" if dry_run else "sent back"), Skipped()
    options: dict[str, Any] = {"rate": rate, "dry_run": dry_run, "on_progress": bar.show}

    async def send(letters: "DeadLetters") -> int:
        if ids:
            return await letters.retry_many(
                ids, subscription=subscription, on_scan=bar.look, **options
            )
        return await letters.retry_all(str(subscription), on_skipped=skipped.add, **options)

    done = Place(app, url, prefix, management_url).work(subscription, send, bar)
    typer.echo(f"{done:,} {bar.what}")
    if skipped:
        _complain(str(skipped))
        raise typer.Exit(1)


@dead_letters.command()
def discard(
    ids: Ids = None,
    all_: All = False,  # noqa: FBT002
    subscription: Subscription = None,
    dry_run: DryRun = False,  # noqa: FBT002
    yes: Yes = False,  # noqa: FBT002
    app: App = "workers",
    url: Url = None,
    prefix: Prefix = "qt",
    management_url: ManagementUrl = None,
) -> None:
    """Remove some for good, or all of a subscription after asking, and no more than asked about.

    Without a yes it exits with 1.
    """
    _must_say_which(ids, all_=all_, subscription=subscription)
    place, bar = (
        Place(app, url, prefix, management_url),
        Bar("would be discarded" if dry_run else "discarded"),
    )
    options: dict[str, Any] = {"dry_run": dry_run, "on_progress": bar.show}
    if all_ and not (dry_run or yes):
        found = _counted(place, str(subscription))
        typer.confirm(f"Remove {found:,} dead letters of {subscription!r} for good?", abort=True)
        if not found:
            typer.echo(f"0 {bar.what}")
            return
        options["limit"] = found

    async def remove(letters: "DeadLetters") -> int:
        if ids:
            return await letters.discard_many(
                ids, subscription=subscription, on_scan=bar.look, **options
            )
        return await letters.discard_all(str(subscription), **options)

    typer.echo(f"{place.work(subscription, remove, bar):,} {bar.what}")


@dead_letters.command()
def export(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Default: standard output.", dir_okay=False
        ),
    ] = None,
    subscription: Subscription = None,
    app: App = "workers",
    url: Url = None,
    prefix: Prefix = "qt",
    management_url: ManagementUrl = None,
) -> None:
    """Write all as JSON Lines, one dead letter a line, with all that is known of it.

    The body is text (`body`) if it is UTF-8, else in Base64 (`body_base64`). Nothing is removed.
    """
    bar = Bar("written")

    async def write(letters: "DeadLetters") -> None:
        with output.open("w", encoding="ascii") if output else open(1, "w", closefd=False) as file:  # noqa: ASYNC230
            async with aclosing(letters.stream(subscription, on_scan=bar.look)) as records:
                async for record in records:
                    file.write(dumps(as_json(record)) + "\n")
                    bar.count()

    Place(app, url, prefix, management_url).work(subscription, write, bar)
    if output:
        typer.echo(f"{bar.progress.done:,} written to {output}", err=True)


def _counted(place: Place, subscription: str) -> int:
    bar = Bar("counted")
    options: dict[str, Any] = {"dry_run": True, "on_progress": bar.show}
    return place.work(
        subscription, lambda letters: letters.discard_all(subscription, **options), bar
    )


def _must_say_which(ids: list[str] | None, *, all_: bool, subscription: str | None) -> None:
    if bool(ids) == all_:
        raise typer.BadParameter("name dead letters by their ids, or give --all", param_hint="ID")
    if all_ and subscription is None:
        raise typer.BadParameter("--all of which --subscription?", param_hint="--subscription")


def _complain(text: str) -> None:
    typer.echo(f"qt-events: {text}", err=True)
    sys.stderr.flush()
