"""`qt-events worker`: short form of `celery -A app worker`, in the same process."""

import os
from typing import Annotated, Literal

import typer

from qt_events.cli.options import More, RequiredApp
from qt_events.logs.formatters import LogFormat
from qt_events.rabbitmq.app.help_texts import HELP

#: Those of qt_events.rabbitmq.pools, written out: to import that is to import celery, which would
#: make every command's --help slow.
PoolName = Literal["asyncio", "prefork", "threads", "solo"]

# Celery takes `prefork` for its default and starts the configured pool; `processes` is its synonym.
_CELERYS = {"prefork": "processes"}

Pool = Annotated[
    PoolName | None,
    typer.Option(
        "--pool",
        "-P",
        help="Pool that runs handlers. Default: the app's worker_pool; else asyncio, or Celery's "
        "prefork where the app has tasks of its own.",
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency", "-c", min=1, metavar="N",
        help="Processes on prefork; threads for sync handlers on the others.",
    ),
]  # fmt: skip
Autoscale = Annotated[
    str | None,
    typer.Option(
        metavar="MAX,MIN",
        help="Prefork only: as many processes as there is work for, within these.",
    ),
]
Subscriptions = Annotated[
    list[str] | None,
    # Brackets would be markup of rich's.
    typer.Option(metavar="PATTERNS", help=HELP.replace("[", r"\[")),
]
Hostname = Annotated[
    str | None,
    typer.Option(
        "--hostname", "-n", metavar="NAME",
        help="Name of the node; %h is the host's. Default: a unique one.",
    ),
]  # fmt: skip
LogLevel = Annotated[
    str | None,
    typer.Option(
        "--loglevel", "-l", metavar="LEVEL", help="DEBUG, INFO, WARNING (default) or ERROR."
    ),
]
Format = Annotated[
    LogFormat | None, typer.Option(help="Default: QT_LOG_FORMAT, or text.", show_default=False)
]
Events = Annotated[
    bool, typer.Option("--events", "-E", help="Send task events, for monitors such as Flower.")
]


def worker(
    app: RequiredApp = "",
    pool: Pool = None,
    concurrency: Concurrency = None,
    autoscale: Autoscale = None,
    subscriptions: Subscriptions = None,
    hostname: Hostname = None,
    loglevel: LogLevel = None,
    log_format: Format = None,
    events: Events = False,
    more: More = None,
) -> None:
    """Serve an app's subscriptions from RabbitMQ, as `celery -A MODULE worker` does.

    The worker waits for the broker as long as it takes, and logs that it waits.

    SIGTERM and Ctrl-C finish the events in hand; a second one gives them back to the broker at
    once. Exit code 0 after SIGTERM, 130 after Ctrl-C, 2 for wrong usage, 1 if the app's module
    cannot be imported.
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
    chosen = [text for each in subscriptions or () for text in ("--subscriptions", each)]
    run_worker(app, [*given, *chosen, *(["-E"] if events else []), *(more or ())])
