"""Options that several commands share: one name and one environment variable for one thing."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from qt_events.errors import InvalidOptionError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(rf"(?:\d+(?:\.\d+)?[{''.join(_SECONDS)}])+", re.ASCII)
_PART = re.compile(r"([\d.]+)([a-z])", re.ASCII)
_APP = "Module whose attribute `app` is the Celery app with the bus."


def _option(*names: str, variable: str | list[str], metavar: str, help: str, **more: Any) -> Any:
    return typer.Option(
        *names, envvar=variable, show_envvar=True, metavar=metavar, help=help, **more
    )


def _required(app: str) -> str:
    if not app:
        raise InvalidOptionError(
            "give --app MODULE (or QT_APP): the module whose attribute `app` is the Celery app"
        )
    return app


def management_url(*more_variables: str) -> Any:
    """`--management-url`, which may have more variables than its own."""
    return _option(
        "--management-url",
        variable=["QT_MANAGEMENT_URL", *more_variables],
        metavar="URL",
        help="RabbitMQ's management API, http://user:password@host:15672. "
        "Default: port 15672 of the broker's host, with the broker's user.",
    )


App = Annotated[
    str | None,
    _option(
        "--app", "-A", variable="QT_APP", metavar="MODULE", help=f"{_APP} Not needed with --url."
    ),
]
RequiredApp = Annotated[
    str,
    _option(
        "--app", "-A", variable="QT_APP", metavar="MODULE", help=f"{_APP} Required.",
        callback=_required, show_default=False,
    ),
]  # fmt: skip
Url = Annotated[
    str | None,
    _option(
        "--url", variable="QT_BROKER_URL", metavar="URL",
        help="Broker, amqp://user:password@host:port/vhost; with --app, in place of the app's own. "
        "Use the variable to keep a password out of the process list.",
    ),
]  # fmt: skip
Prefix = Annotated[
    str | None,
    _option(
        "--prefix", variable="QT_PREFIX", metavar="PREFIX",
        help="Prefix of the names on the broker. Default: the app's, else qt.",
    ),
]  # fmt: skip
ManagementUrl = Annotated[str | None, management_url()]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
More = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="-- OPTION",
        help="More options of Celery's command of this name, after a --.",
        show_default=False,
    ),
]


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
