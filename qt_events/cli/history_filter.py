"""Options that say which events of a history a command is about, and what they mean."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qt_events.cli.options import time_of
from qt_events.errors import InvalidOptionError, InvalidPatternError

if TYPE_CHECKING:
    from qt_events.history.filters import EventFilter
    from qt_events.history.where import Where


def _option(name: str, metavar: str, help: str) -> Any:
    return typer.Option(name, metavar=metavar, help=help)


_TIME = "2h, 90s, 1d12h ago, or an ISO 8601 time (UTC unless it says another zone)."
Type = Annotated[str, _option("--type", "PATTERN", "Only those whose type fits, as price.#.")]
Since = Annotated[str | None, _option("--since", "TIME", f"Only those of then or later: {_TIME}")]
Until = Annotated[str | None, _option("--until", "TIME", "Only those of before then.")]
Source = Annotated[str | None, _option("--source", "NAME", "Only those of this source.")]
Id = Annotated[str | None, _option("--id", "ID", "Only those with this id.")]
Correlation = Annotated[
    str | None, _option("--correlation", "ID", "Only those of this conversation.")
]
Conditions = Annotated[
    list[str] | None,
    _option(
        "--where", "CONDITION",
        "Only those whose payload fits: FIELD OPERATOR VALUE, such as symbol=AAPL or "
        "'order.size > 100 and note ~ \"late\"'. Operators: = != < <= > >= and ~ (contains). "
        "Repeat it for more conditions.",
    ),
]  # fmt: skip
Dead = Annotated[bool, typer.Option("--dead", help="Only dead letters of any subscription.")]
Retrying = Annotated[
    bool, typer.Option("--retrying", help="Only those that wait for another attempt.")
]
UnhandledBy = Annotated[
    str | None,
    _option(
        "--unhandled-by", "SUBSCRIPTION",
        "Only those that it has not handled, nor filtered out, as far as it has told. Give --type, "
        "too: it does not hear others.",
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """Options of one command, as they were written."""

    type: str = "#"
    since: str | None = None
    until: str | None = None
    source: str | None = None
    id: str | None = None
    correlation: str | None = None
    where: list[str] | None = None
    dead: bool = False
    retrying: bool = False
    unhandled_by: str | None = None

    def filter(self) -> "EventFilter":
        """Return the filter that the options mean. InvalidOptionError: one means nothing."""
        from qt_events.history.filters import EventFilter

        try:
            return EventFilter(
                pattern=self.type,
                since=_time("--since", self.since),
                until=_time("--until", self.until),
                source=self.source,
                id=self.id,
                correlation_id=self.correlation,
                dead=self.dead,
                retrying=self.retrying,
                unhandled_by=self.unhandled_by,
            )
        except InvalidPatternError as error:
            raise InvalidOptionError(f"--type: {error}") from error

    def conditions(self) -> "Where":
        """Return the conditions on the payload. InvalidWhereError: one has another form."""
        from qt_events.history.where import Where

        return Where.parse(*(self.where or ()))


def _time(option: str, text: str | None) -> datetime | None:
    return None if text is None else time_of(text, datetime.now(UTC), option)
