"""Options that say which dead letters a command is about, and what they mean."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

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

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(rf"(?:\d+(?:\.\d+)?[{''.join(_SECONDS)}])+", re.ASCII)
_PART = re.compile(r"([\d.]+)([a-z])", re.ASCII)


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


def time_of(since: str, now: datetime, option: str = "--since") -> datetime:
    """Return the time that an option means, as seen from `now`."""
    try:
        if _DURATION.fullmatch(since):
            parts = _PART.findall(since)
            return now - timedelta(seconds=sum(float(n) * _SECONDS[unit] for n, unit in parts))
        time = datetime.fromisoformat(since)
        return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidOptionError(
            f"{option} {since!r:.80} is no time: write how long ago, such as 2h, 90s or 1d12h, or "
            "an ISO 8601 time such as 2026-11-30T09:00Z"
        ) from None
