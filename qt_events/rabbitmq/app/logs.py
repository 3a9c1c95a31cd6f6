"""Logs of a Celery worker process: Celery's lines in our form, with the event they are about.

Celery sets its logging up as it always does (`--loglevel`, `--logfile`,
`worker_hijack_root_logger`, redirected stdouts). Afterwards only the formatters of the handlers
that it made are exchanged. An app that connects to `setup_logging`, or keeps its own handlers on
the root logger, has told Celery and us to leave them alone.
"""

import logging
import sys
from typing import Any

import click
from celery import current_task, signals
from celery.apps.worker import Worker, install_worker_term_handler
from celery.exceptions import Reject as CeleryReject
from celery.utils.log import ColorFormatter, get_multiprocessing_logger
from click.core import ParameterSource

from qt_events.errors import InvalidOptionError
from qt_events.logs.configure import EventFieldsFilter, log_options
from qt_events.logs.formatters import FORMATTERS, WithFields
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.subscription_task import DeliveryFailed

logger = logging.getLogger("qt_events")


def follow_celery() -> None:
    """Follow whatever Celery does about logging in this process. A second call changes nothing."""
    signals.celeryd_init.connect(_begin, weak=False)
    signals.worker_init.connect(_choose, weak=False)
    signals.after_setup_logger.connect(_dress_all, weak=False)
    signals.after_setup_task_logger.connect(_dress, weak=False)
    signals.worker_ready.connect(_say_less, weak=False)
    signals.worker_shutdown.connect(_tell_end, weak=False)
    logging.getLogger("celery.app.trace").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Return False for the tracer's line about how an event's task ended: it is logged already.

    Celery's own pools have this tracer. While debugging its lines pass, too.
    """
    envelope = _current_envelope()
    if envelope is None:
        return True
    record.__dict__.update(envelope.log_fields())
    error = record.exc_info[1] if record.exc_info else None
    repeats = record.levelno < logging.WARNING or isinstance(error, DeliveryFailed | CeleryReject)
    return not repeats or logger.isEnabledFor(logging.DEBUG)


def _current_envelope() -> Envelope | None:
    args = current_task.request.args if current_task else None
    return args[0] if args and isinstance(args[0], Envelope) else None


# Before Celery has set its logging up

# Celery warns of a worker that root runs: in our form, if one was chosen.
_at_first = logging.StreamHandler()


def _begin(instance: Any, **_: Any) -> None:
    """Check the options while a worker is made.

    Celery only logs what a receiver raises, so a wrong option ends the process here.
    """
    try:
        form = log_options().format
    except InvalidOptionError as error:
        sys.exit(f"{instance.app.main or 'celery'}: {error}")
    root = logging.getLogger()
    if form is not None and not root.handlers:
        _at_first.setStream(sys.stderr)
        _at_first.setFormatter(FORMATTERS[form]())
        root.addHandler(_at_first)
        logging.captureWarnings(True)  # noqa: FBT003  # logging's own signature


def _choose(sender: Any, **_: Any) -> None:
    """Give the worker our level, before it sets its logging up on the root logger as it was."""
    logging.getLogger().removeHandler(_at_first)
    if not isinstance(sender, Worker):
        # The one that run_forever() hosts leaves logging to its program.
        return
    wanted = log_options()
    if wanted.level is not None and not _was_given("loglevel"):
        sender.loglevel = wanted.level
    if wanted.format == "json":
        # The banner is no JSON.
        sender.quiet = True


def _was_given(option: str) -> bool:
    """Return True if `celery worker` was given this option, or is not the command."""
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source(option) if context is not None else None
    return source is not ParameterSource.DEFAULT


# Once it has


def _dress_all(logger: logging.Logger, **_: Any) -> None:
    # The prefork pool itself reports to the second one.
    for each in (logger, get_multiprocessing_logger()):
        _dress(each)


def _dress(logger: logging.Logger, **_: Any) -> None:
    """Exchange the formatters that are Celery's. Those of a user's own handlers stay."""
    form = log_options().format
    for handler in logger.handlers:
        celerys = handler.formatter
        if isinstance(celerys, ColorFormatter):
            handler.addFilter(EventFieldsFilter())
            handler.addFilter(_task_fields)
            handler.setFormatter(WithFields(celerys) if form is None else FORMATTERS[form]())


def _task_fields(record: logging.LogRecord) -> bool:
    """Add the id and name of a plain task, as Celery's own format has them."""
    if current_task and current_task.request.id and _current_envelope() is None:
        record.__dict__.setdefault("task_id", current_task.request.id)
        record.__dict__.setdefault("task_name", current_task.name)
    return True


# At the end


def _say_less(sender: Any, **_: Any) -> None:
    """Keep Celery from writing to stdout, on SIGTERM, that it stops: that would be no JSON."""
    worker = sender.controller
    if isinstance(worker, Worker) and log_options().format == "json":
        install_worker_term_handler(worker, verbose=False)


def _tell_end(sender: Any, **_: Any) -> None:
    if isinstance(sender, Worker):
        logger.info("worker: %s has stopped", sender.hostname)
