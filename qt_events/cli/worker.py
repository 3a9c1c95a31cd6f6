"""`qt-events worker`: a short form of `celery -A app worker`, in the same process, with the same exit codes."""

import os
from typing import Annotated, Literal

import typer

from qt_events.cli.options import App, More
from qt_events.errors import InvalidOptionError, NotSupportedError
from qt_events.logs.formatters import LogFormat
from qt_events.rabbitmq.app.selection import HELP

#: Those of qt_events.rabbitmq.pools, written out: to import that is to import celery, for every command's --help.
PoolName = Literal["asyncio", "prefork", "threads", "solo"]

_CELERYS = {
    "prefork": "processes"
}  # by its other name Celery gives the pool that the configuration names

Pool = Annotated[
    PoolName | None,
    typer.Option(
        "--pool", "-P", help="Where handlers run. Default: the app's worker_pool, or asyncio."
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        "-c",
        min=1,
        metavar="N",
        help="Processes on prefork; threads for sync handlers elsewhere.",
    ),
]
Autoscale = Annotated[
    str | None,
    typer.Option(
        metavar="MAX,MIN", help="On prefork: as many processes as there is work for, within these."
    ),
]
Subscriptions = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERNS", help=HELP.replace("[", r"\[")),  # no markup of rich's
]
Hostname = Annotated[
    str | None,
    typer.Option(
        "--hostname",
        "-n",
        metavar="NAME",
        help="The node's name; %h is the host's. Default: a unique one.",
    ),
]
LogLevel = Annotated[
    str | None,
    typer.Option(
        "--loglevel", "-l", metavar="LEVEL", help="DEBUG, INFO, WARNING (default), ERROR."
    ),
]
Format = Annotated[
    LogFormat | None, typer.Option(help="Default: QT_LOG_FORMAT, or text.", show_default=False)
]
Events = Annotated[
    bool, typer.Option("--events", "-E", help="Tell monitors such as Flower what happens.")
]


def worker(
    app: App = "workers",
    pool: Pool = None,
    concurrency: Concurrency = None,
    autoscale: Autoscale = None,
    subscriptions: Subscriptions = None,
    hostname: Hostname = None,
    loglevel: LogLevel = None,
    log_format: Format = None,
    events: Events = False,  # noqa: FBT002  # typer's way to write a flag
    more: More = None,
) -> None:
    """Serve an app's subscriptions from RabbitMQ, as `celery -A MODULE worker` does.

    It waits for the broker as long as it takes, and says so.

    SIGTERM and Ctrl-C finish what it holds, a second one gives that back to the broker at once. Exit code 0 after
    SIGTERM, 130 after Ctrl-C, 2 for wrong usage.
    """
    if log_format is not None:
        os.environ["QT_LOG_FORMAT"] = log_format
    from qt_events.rabbitmq.app.command_line import run_worker

    named = {
        "-P": _CELERYS.get(pool, pool) if pool else None,
        "-c": concurrency,
        "--autoscale": autoscale,
        "-n": hostname,
        "-l": loglevel,
    }
    given = [
        text
        for option, value in named.items()
        if value is not None
        for text in (option, str(value))
    ]
    chosen = [text for patterns in subscriptions or () for text in ("--subscriptions", patterns)]
    try:
        run_worker(app, [*given, *chosen, *(["-E"] if events else []), *(more or ())])
    except (InvalidOptionError, NotSupportedError) as error:
        raise typer.BadParameter(str(error)) from error
