"""`qt-events rerun`: a time of a history once more, in memory; does it end the same?"""

import asyncio
import importlib
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qt_events.cli.errors import FAILED
from qt_events.cli.history_filter import Asked, Since, Until
from qt_events.cli.history_options import StoreUrl
from qt_events.cli.options import AsJson
from qt_events.cli.terminal import dumps, say
from qt_events.errors import InvalidOptionError, UsageError

if TYPE_CHECKING:
    from qt_events.events.raw import RawEvent
    from qt_events.history import EventFilter, Rerun
    from qt_events.history.replaying.comparison import Difference
    from qt_events.history.replaying.rerunning import Subscribe


def _required(app: str) -> str:
    if not app:
        raise InvalidOptionError(
            "give --app MODULE (or QT_APP): the module with a function subscribe(bus)"
        )
    return app


App = Annotated[
    str,
    typer.Option(
        "--app", "-A", envvar="QT_APP", show_envvar=True, metavar="MODULE", callback=_required,
        help="Module with a function `subscribe(bus)`, which subscribes the app's handlers to an "
        "InMemoryEventBus. Required.", show_default=False,
    ),
]  # fmt: skip
Type = Annotated[
    str,
    typer.Option(
        "--type", metavar="PATTERN", help="Show, and judge by, only differences of these types."
    ),
]
Limit = Annotated[int, typer.Option(min=1, metavar="N", help="Number of differences to show.")]


def rerun(
    app: App = "",
    store: StoreUrl = "",
    since: Since = None,
    until: Until = None,
    type: Type = "#",
    limit: Limit = 5,
    as_json: AsJson = False,
) -> None:
    """Feed an app in memory with the root events of a history, and compare what it publishes.

    Shows the first differences, causes before what they cause. Exit code 0: all is the same; 1:
    something differs, or the rerun was not possible.
    """
    which = Asked(type, since, until).filter()
    found = asyncio.run(_rerun(store, _subscribe_of(app), which))
    from qt_events.events.topics import matches

    differ = [each for each in found.differences if matches(type, each.event.type)]
    # The exit code tells it, too.
    with suppress(BrokenPipeError):
        if as_json:
            _print_json(found, differ, limit)
        else:
            _print(found, differ, limit)
    if differ:
        raise typer.Exit(FAILED)


async def _rerun(url: str, subscribe: "Subscribe", which: "EventFilter") -> "Rerun":
    from qt_events.history import History
    from qt_events.history import rerun as rerun_

    history = History(url, must_exist=True)
    try:
        return await rerun_(history, subscribe, since=which.since, until=which.until)
    finally:
        await history.close()


def _subscribe_of(name: str) -> "Subscribe":
    """Return the function `subscribe` of a module. UsageError: there is none."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = getattr(importlib.import_module(name), "subscribe", None)
    except ImportError as error:
        raise UsageError(f"the module {name!r} cannot be imported: {error}") from error
    finally:
        # The module may have removed it.
        with suppress(ValueError):
            sys.path.remove(here)
    if not callable(found):
        raise UsageError(
            f"the module {name!r} has no function subscribe(bus): write one that subscribes the "
            "app's handlers to the bus it is given, so that they publish there, too"
        )
    return found  # type: ignore[no-any-return]


def _print(found: "Rerun", differ: "list[Difference]", limit: int) -> None:
    for each in differ[:limit]:
        event = each.event
        say(
            f"{each.kind} {event.type}  {event.id}  from {event.source}",
            f"  after    {' > '.join(each.causes) or 'nothing: it was fed'}",
            f"  history  {_payload(each.before)}",
            f"  rerun    {_payload(each.after)}",
        )
    for letter in found.dead_letters[:limit]:
        why = letter.exception_type or letter.reason
        say(f"dead letter of {letter.subscription}: {letter.event_type} {letter.event_id}: {why}")
    if (more := len(found.dead_letters) - limit) > 0:
        say(f"and {more:,} more dead letters")
    if found.unfinished:
        say(f"{found.unfinished:,} deliveries still waited for a retry a day later")
    say(
        f"{found.fed:,} root events were fed; history {found.before:,} events, rerun "
        f"{found.after:,}: {f'{len(differ):,} differ' if differ else 'the same'}"
    )


def _payload(event: "RawEvent | None") -> str:
    from qt_events.history.where import payload_of

    return "-" if event is None else dumps(payload_of(event))


def _print_json(found: "Rerun", differ: "list[Difference]", limit: int) -> None:
    from qt_events.history.where import payload_of

    def side(event: "RawEvent | None") -> Any:
        return event and {"id": event.id, "payload": payload_of(event)}

    first = [
        {
            "kind": each.kind,
            "type": each.event.type,
            "source": each.event.source,
            "causes": each.causes,
            "history": side(each.before),
            "rerun": side(each.after),
        }
        for each in differ[:limit]
    ]
    counts = {"fed": found.fed, "history": found.before, "rerun": found.after}
    more = {"dead_letters": len(found.dead_letters), "unfinished": found.unfinished}
    print(dumps(counts | {"differ": len(differ), "first": first} | more, indent=2))
