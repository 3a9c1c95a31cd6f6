"""Options that say which dead letters a command is about, and what they mean."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qt_events.cli.options import time_of
from qt_events.errors import InvalidOptionError, InvalidPatternError

if TYPE_CHECKING:
    from qt_events.dead_letters.filters import DeadLetterFilter

Type = Annotated[
    str | None,
    typer.Option(
        "--type", metavar="PATTERN", help="Only those whose event type fits, such as payment.*"
    ),
]
ExceptionType = Annotated[
    str | None,
    typer.Option(
        "--exception", metavar="NAME",
        help="Only those with this type of exception, its module left out or not; * and ? fit any.",
    ),
]  # fmt: skip
EventId = Annotated[
    str | None, typer.Option("--event", metavar="ID", help="Only those of the event with this id.")
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME",
        help="Only those that failed then or later: 2h, 90s, 1d12h ago, or an ISO 8601 time (UTC "
        "unless it says another zone).",
    ),
]  # fmt: skip


def filter_of(
    type: str | None, exception: str | None, event: str | None, since: str | None
) -> "DeadLetterFilter | None":
    """Return the filter that the options mean, None if none is given.

    Raises:
        InvalidOptionError: a pattern or a time that means nothing.
    """
    if type is exception is event is since is None:
        return None
    from qt_events.dead_letters.filters import DeadLetterFilter

    time = None if since is None else time_of(since, datetime.now(UTC))
    try:
        return DeadLetterFilter(event_type=type, exception=exception, event_id=event, since=time)
    except InvalidPatternError as error:
        raise InvalidOptionError(f"--type: {error}") from error
