"""Celery's command line, `celery -A app worker`: what a bus adds to it, and how it is run in this process."""

import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, NoReturn

import celery
import click
from celery.app.utils import find_app
from celery.bin.base import CeleryOption
from celery.concurrency import ALIASES
from celery.platforms import EX_FAILURE
from celery.utils.imports import cwd_in_path
from celery.worker import state

from qt_events.errors import InvalidOptionError, NotSupportedError
from qt_events.rabbitmq.app.selection import HELP, patterns_from
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.names import pool_name
from qt_events.rabbitmq.runtime import runtime_of

_INTERRUPTED = 130  # as a shell says it


class SubscriptionsOption(CeleryOption):
    """`--subscriptions`. It is read first of all, and puts in order what Celery makes of `-P`."""

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
        """Click calls it with the options as they were written, of which later nothing is left."""
        _spell_pool(ctx, opts)
        if opts.get(self.name) and opts.get("queues"):
            message = "--subscriptions and -Q both say what to serve: give one of them"
            raise click.UsageError(message, ctx)
        return super().handle_parse_result(ctx, opts, args)


def _patterns(ctx: click.Context, param: click.Parameter, given: Sequence[str]) -> tuple[str, ...]:
    app = ctx.obj.app
    if given:
        app.loader.import_default_modules()  # those of `include` subscribe too
    try:
        return patterns_from(given, (each.name for each in app.qt_events_runtime.subscriptions))
    except InvalidOptionError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _spell_pool(ctx: click.Context, opts: MutableMapping[str, Any]) -> None:
    """Celery takes `prefork` for its own default and gives the configured pool instead, and it knows no asyncio."""
    pool = next((each for each in ctx.command.params if each.name == "pool"), None)
    written = opts.get("pool") or (pool and pool.value_from_envvar(ctx))
    if written == "asyncio":
        opts["pool"] = AsyncioPool
    elif (
        written == "prefork"
        and (configured := pool_name(ctx.obj.app.conf.worker_pool)) != "prefork"
    ):
        message = (
            f"with -P prefork Celery would start the pool of the configuration, {configured}: "
            "write -P processes, its other name for prefork"
        )
        raise click.BadParameter(message, ctx, pool)
    elif isinstance(written, str) and written not in ALIASES:
        message = f"there is no pool {written!r}: write asyncio, processes (which is prefork), threads or solo"
        raise click.BadParameter(message, ctx, pool)


def run_worker(name: str, arguments: Sequence[str]) -> NoReturn:
    """`celery -A name worker arguments`, in this process.

    Raises:
        SystemExit: 0 after SIGTERM, 130 after Ctrl-C, 2 for wrong arguments.
        InvalidOptionError: there is no such app.
        NotSupportedError: it has no bus.
    """
    app_with_bus(name)
    try:
        run_celery("-A", name, "worker", *arguments)
    except SystemExit as end:
        interrupted = (
            end.code == state.should_stop == EX_FAILURE
        )  # Celery's word for a warm shutdown by Ctrl-C
        sys.exit(_INTERRUPTED if interrupted else end.code)


def run_celery(*arguments: str) -> NoReturn:
    """`celery arguments`, in this process; ends with its SystemExit."""
    sys.argv[:] = ["celery", *arguments]  # Celery reads it too: for -D, and for its process title
    from celery.bin.celery import main  # noqa: PLC0415  # the whole of Celery's commands, and their plugins

    sys.exit(main())


def app_with_bus(name: str) -> celery.Celery:
    """The Celery app that `celery -A name` finds, if it has a bus. The errors are those of run_worker."""
    try:
        with cwd_in_path():
            app = find_app(name)
    except ModuleNotFoundError as error:
        if not _is_part(error.name, of=name):
            raise  # the module is there, one that it imports is not: that needs a traceback
        message = f"there is no module {error.name!r} here: name the one whose attribute `app` is the Celery app"
        raise InvalidOptionError(message) from error
    except AttributeError as error:
        message = f"there is no Celery app in {name!r}: it has to be an attribute `app` of the module ({error})"
        raise InvalidOptionError(message) from error
    if runtime_of(app) is None:
        message = (
            f"the Celery app of {name!r} has no bus: make one beside it, CeleryEventBus(app=app)"
        )
        raise NotSupportedError(message)
    return app


def _is_part(module: str | None, *, of: str) -> bool:
    wanted = of.partition(":")[0]
    return module is not None and (module == of or f"{wanted}.".startswith(f"{module}."))
