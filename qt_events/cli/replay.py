"""`qt-events replay`: events of a history, sent to one subscription again."""

import asyncio
import shlex
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qt_events.cli.errors import INTERRUPTED
from qt_events.cli.history_filter import (
    Asked,
    Conditions,
    Correlation,
    Id,
    Since,
    Source,
    Type,
    UnhandledBy,
    Until,
)
from qt_events.cli.history_options import StoreUrl
from qt_events.cli.options import App, AsJson, Prefix, Url
from qt_events.cli.terminal import complain, say
from qt_events.errors import InvalidOptionError

if TYPE_CHECKING:
    from qt_events.cli.progress import Bar
    from qt_events.history import Replayed
    from qt_events.history.store import Store

Subscription = Annotated[
    str, typer.Argument(metavar="SUBSCRIPTION", help="Name of the subscription that gets them.")
]
Rate = Annotated[float | None, typer.Option(metavar="N", help="Send at most this many a second.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")]
EvenUnheard = Annotated[
    bool, typer.Option("--even-unheard", help="Send also those of a type that it does not hear.")
]
Resume = Annotated[
    str | None,
    typer.Option(
        "--resume", metavar="ID",
        help="Go on with a replay that was interrupted, behind its bookmark, with the filter that "
        "it was begun with.",
    ),
]  # fmt: skip


def replay(
    subscription: Subscription,
    store: StoreUrl = "",
    type: Type = "#",
    since: Since = None,
    until: Until = None,
    source: Source = None,
    id: Id = None,
    correlation: Correlation = None,
    where: Conditions = None,
    unhandled_by: UnhandledBy = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    even_unheard: EvenUnheard = False,
    resume: Resume = None,
    as_json: AsJson = False,
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
) -> None:
    """Send events of a history to one subscription again, and to no other.

    They arrive as they were, marked: event.replayed is true. What it does not hear is left out, and
    so is what is published from now on. Exit code 130 after Ctrl-C: --resume goes on.
    """
    asked = Asked(type, since, until, source, id, correlation, where, unhandled_by=unhandled_by)
    if resume is not None and (asked != Asked() or even_unheard):
        raise InvalidOptionError(
            "--resume goes on with the filter that the replay was begun with: leave the other "
            "options out, but for --rate"
        )
    options: dict[str, Any] = {"where": where or (), "rate": rate, "even_unheard": even_unheard}
    command = _Command(subscription, resume, dry_run=dry_run, as_json=as_json)
    command.run(store, (app, url, prefix), asked, options)


class _Command:
    """One run, and what it says."""

    def __init__(
        self, subscription: str, resume: str | None, *, dry_run: bool, as_json: bool
    ) -> None:
        from qt_events.history.replaying.replay import new_replay_id

        self._subscription, self._resume = subscription, resume
        self._replay_id = new_replay_id() if resume is None else resume
        self._dry_run, self._as_json = dry_run, as_json

    def run(
        self,
        store: str,
        place: tuple[str | None, str | None, str | None],
        asked: Asked,
        options: dict[str, Any],
    ) -> None:
        from qt_events.cli.progress import Bar
        from qt_events.history import History
        from qt_events.rabbitmq.operating.target import find_target

        history, which = History(store, must_exist=True), asked.filter()
        target, bar = find_target(*place), Bar("would be sent" if self._dry_run else "gone through")
        options |= {"replay_id": self._replay_id, "dry_run": self._dry_run}
        with closing(history.store), closing(target.bus):
            self._must_be_known(history.store)
            # The app's subscriptions say what they hear, those of its `include` modules too.
            target.subscriptions()
            if not self._dry_run:
                # Whoever kills it needs the id to go on.
                say(f"replay {self._replay_id} to {self._subscription}", err=True)
            try:
                with bar:
                    sending = history.replay(
                        target.bus, self._subscription, which, on_progress=bar.show, **options
                    )
                    replayed = asyncio.run(sending)
            except KeyboardInterrupt:
                complain(f"interrupted: {self._so_far(bar)}")
                raise typer.Exit(INTERRUPTED) from None
        self._tell(replayed)

    def _must_be_known(self, store: "Store") -> None:
        from qt_events.history import UnknownReplayError

        if self._resume is not None and store.bookmark(self._resume) is None:
            raise UnknownReplayError(
                f"no replay {self._resume!r} was begun from {store}: leave out --resume to begin"
            )

    def _so_far(self, bar: "Bar") -> str:
        if self._dry_run or not (bar.has_begun or self._resume):
            return "nothing was sent"
        sent = (
            f"{bar.progress.done:,} events were sent" if bar.has_begun else "nothing more was sent"
        )
        again = ("qt-events", "replay", self._subscription, "--resume", self._replay_id)
        return f"{sent}; `{shlex.join(again)}` goes on"

    def _tell(self, replayed: "Replayed") -> None:
        if self._as_json:
            from qt_events.cli.history_output import dumps

            print(dumps(replayed._asdict() | {"dry_run": self._dry_run}, indent=2))
            return
        if self._dry_run:
            left = replayed.sent - replayed.sent_before
            say(f"{left:,} events would be sent to {self._subscription}")
        elif self._resume is not None and replayed.sent == replayed.sent_before:
            say(f"the replay {replayed.replay_id} had sent all of its {replayed.sent:,} events")
        else:
            before = f", {replayed.sent_before:,} of them before" if replayed.sent_before else ""
            say(
                f"{replayed.sent:,} events sent to {self._subscription}{before}; "
                f"replay {replayed.replay_id}"
            )
        if replayed.unheard:
            say(f"{replayed.unheard:,} left out: it does not hear them (--even-unheard)")
