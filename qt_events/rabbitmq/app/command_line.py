"""Celery's command line in this process, and the options that a bus adds to it."""

import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, NoReturn

import celery
import click
from celery.bin.base import CeleryOption
from celery.concurrency import ALIASES
from celery.platforms import EX_FAILURE
from celery.worker import state

from qt_events.errors import InvalidOptionError
from qt_events.rabbitmq.app.help_texts import HELP
from qt_events.rabbitmq.app.named_app import app_with_bus, import_modules
from qt_events.rabbitmq.app.selection import patterns_from
from qt_events.rabbitmq.app.task_registration import has_plain_tasks
from qt_events.rabbitmq.connection.defaults import is_given
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.names import pool_name

_INTERRUPTED = 130  #: exit code, as a shell has it


class SubscriptionsOption(CeleryOption):
    """Option `--subscriptions`. It is read first, and corrects what Celery makes of `-P`."""

    def __init__(self) -> None:
        super().__init__(
            ["--subscriptions"],
            multiple=True,
            metavar="PATTERNS",
            envvar="QT_SUBSCRIPTIONS",
            callback=_patterns,
            is_eager=True,
            help=HELP,
            help_group="Queue Options",
        )

    def handle_parse_result(self, ctx: click.Context, opts: Any, args: list[str]) -> Any:
        """Read the options as they were written, which click does not keep for later."""
        _choose_pool(ctx, opts)
        if opts.get(self.name) and opts.get("queues"):
            message = "--subscriptions and -Q both say what to serve: give one of them"
            raise click.UsageError(message, ctx)
        return super().handle_parse_result(ctx, opts, args)


def _patterns(ctx: click.Context, param: click.Parameter, given: Sequence[str]) -> tuple[str, ...]:
    app = ctx.obj.app
    if given:
        # Modules of `include` subscribe too.
        app.loader.import_default_modules()
    try:
        return patterns_from(given, (each.name for each in app.qt_events_runtime.subscriptions))
    except InvalidOptionError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _choose_pool(ctx: click.Context, opts: MutableMapping[str, Any]) -> None:
    """Correct `-P`: Celery takes `prefork` for its default, and does not know `asyncio`.

    Where nobody chose a pool it is asyncio, unless the app has tasks of its own: their author
    counts on Celery's prefork.
    """
    app = ctx.obj.app
    written, param = _written(ctx, opts, "pool")
    if written == "asyncio" or (written is None and _prefers_asyncio(app)):
        opts["pool"] = AsyncioPool
        if _written(ctx, opts, "concurrency")[0] is None and not app.conf.worker_concurrency:
            opts["concurrency"] = app.qt_events_runtime.settings.max_workers
    elif written == "prefork":
        configured = pool_name(app.conf.worker_pool)
        if configured != "prefork":
            message = (
                f"with -P prefork Celery would start the pool of the configuration, {configured}: "
                "write -P processes, its other name for prefork"
            )
            raise click.BadParameter(message, ctx, param)
    elif isinstance(written, str) and written not in ALIASES:
        message = (
            f"there is no pool {written!r}: write asyncio, processes (which is prefork), threads "
            "or solo"
        )
        raise click.BadParameter(message, ctx, param)


def _written(
    ctx: click.Context, opts: MutableMapping[str, Any], name: str
) -> tuple[Any, click.Parameter | None]:
    """Return an option as it was written, or as the environment has it."""
    param = next((each for each in ctx.command.params if each.name == name), None)
    return opts.get(name) or (param and param.value_from_envvar(ctx)) or None, param


def _prefers_asyncio(app: celery.Celery) -> bool:
    if is_given(app, "worker_pool"):
        return pool_name(app.conf.worker_pool) == "asyncio"
    # Modules of `include` have tasks, too.
    app.loader.import_default_modules()
    return not has_plain_tasks(app.qt_events_runtime)


def run_worker(name: str, arguments: Sequence[str]) -> NoReturn:
    """Run `celery -A name worker arguments` in this process.

    Raises:
        SystemExit: 0 after SIGTERM, 130 after Ctrl-C, 2 for wrong arguments.
        InvalidOptionError, NotSupportedError, UsageError: see qt_events.rabbitmq.app.named_app.
    """
    # Celery imports them later, and if one is broken it shows a traceback through its whole worker.
    import_modules(app_with_bus(name), name)
    try:
        run_celery(name, "worker", *arguments)
    except SystemExit as end:
        # Celery says so that Ctrl-C asked for a warm shutdown.
        interrupted = end.code == state.should_stop == EX_FAILURE
        sys.exit(_INTERRUPTED if interrupted else end.code)


def run_celery(app: celery.Celery | str, *arguments: str) -> NoReturn:
    """Run `celery -A app arguments` in this process. Ends with Celery's SystemExit."""
    # Celery reads it too: for -D, and for the title of its process.
    sys.argv[:] = ["celery", "-A", str(app), *arguments]
    # Imported here, for it is the whole of Celery's commands, and their plugins.
    from celery.bin.celery import celery as command  # noqa: PLC0415

    sys.exit(command(args=["-A", app, *arguments], auto_envvar_prefix="CELERY"))
