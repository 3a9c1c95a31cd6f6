"""`qt-events worker`: a short form of `celery -A app worker`, in the same process, with the same exit codes."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from qt_events.errors import InvalidOptionError, NotSupportedError


class Pool(StrEnum):
    """Worker pools, each by its own name."""

    ASYNCIO = "asyncio"
    PREFORK = "prefork"
    THREADS = "threads"
    SOLO = "solo"


class LogFormat(StrEnum):
    """How lines of a log are written."""

    TEXT = "text"
    JSON = "json"


_CELERYS = {Pool.PREFORK: "processes"}  # by its other name Celery gives the pool that the configuration names


def worker(
    app: Annotated[
        str, typer.Option("--app", "-A", envvar="QT_APP", metavar="MODULE", help="The module with the Celery app.")
    ] = "workers",
    pool: Annotated[
        Pool | None,
        typer.Option("--pool", "-P", help="Where handlers run. Default: the app's worker_pool, or asyncio."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", "-c", min=1, metavar="N", help="Processes on prefork; threads for sync handlers elsewhere."
        ),
    ] = None,
    autoscale: Annotated[
        str | None,
        typer.Option(metavar="MAX,MIN", help="On prefork: as many processes as there is work for, within these."),
    ] = None,
    subscriptions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERNS",
            help="Serve only these, such as 'orchestrator.*,risk_guard'; may be given several times. "
            "*, ? and \\[...] are as in file names; a pattern fits a name, or a name up to one of its dots: "
            "risk_guard is all of risk_guard.*. Default: QT_SUBSCRIPTIONS, or all. "
            "The rest keep collecting for other workers.",
        ),
    ] = None,
    hostname: Annotated[
        str | None,
        typer.Option(
            "--hostname", "-n", metavar="NAME", help="The node's name; %h is the host's. Default: a unique one."
        ),
    ] = None,
    loglevel: Annotated[
        str | None, typer.Option("--loglevel", "-l", metavar="LEVEL", help="DEBUG, INFO, WARNING (default), ERROR.")
    ] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="Default: QT_LOG_FORMAT, or text.", show_default=False)
    ] = None,
    events: Annotated[  # noqa: FBT002  # typer's way to write a flag
        bool, typer.Option("--events", "-E", help="Tell monitors such as Flower what happens.")
    ] = False,
    more: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTION...]", help="More options of `celery worker`, after a --.", show_default=False
        ),
    ] = None,
) -> None:
    """Serve an app's subscriptions from RabbitMQ, as `celery -A MODULE worker` does.

    It waits for the broker as long as it takes, and says so.

    SIGTERM and Ctrl-C finish what it holds, a second one gives that back to the broker at once. Exit code 0 after
    SIGTERM, 130 after Ctrl-C, 2 for wrong usage.
    """
    if log_format is not None:
        os.environ["QT_LOG_FORMAT"] = log_format.value
    from qt_events.rabbitmq.command_line import run_worker

    named = {
        "-P": _CELERYS.get(pool, pool.value) if pool else None,
        "-c": concurrency,
        "--autoscale": autoscale,
        "-n": hostname,
        "-l": loglevel,
    }
    given = [text for option, value in named.items() if value is not None for text in (option, str(value))]
    chosen = [text for patterns in subscriptions or () for text in ("--subscriptions", patterns)]
    try:
        run_worker(app, [*given, *chosen, *(["-E"] if events else []), *(more or ())])
    except (InvalidOptionError, NotSupportedError) as error:
        raise typer.BadParameter(str(error), param_hint="-A") from error
