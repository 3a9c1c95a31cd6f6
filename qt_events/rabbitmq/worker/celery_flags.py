"""Celery's flags for stopping, translated into triggers of a Shutdown.

In a worker process, Celery's handlers of SIGTERM, SIGINT and SIGQUIT set them, and what ends a
process from within, see pools/process_end.py. The way of a SIGTERM on the asyncio pool:

    Celery's handler            sets the flag `should_stop`
    HandedOverHub.create_loop   looks every 0.2 s; `raise_if_stopping` raises WorkerShutdown
    AsyncioLoop.finish          waits for the pool; `follow_flags` tells of a second signal
    AsyncioPool.drain           finishes what is held within `grace`, and gives back the rest
"""

from celery.exceptions import WorkerShutdown
from celery.worker import state

from qt_events.rabbitmq.pools.process_end import is_set
from qt_events.shutdown import Shutdown, State, Trigger


def follow_flags(shutdown: Shutdown) -> None:
    """Pass on to the shutdown what a signal has told Celery."""
    if is_hurried():
        shutdown.tell(Trigger.HURRY)
    elif is_set(state.should_stop):
        shutdown.tell(Trigger.STOP)


def raise_if_stopping(shutdown: Shutdown) -> None:
    """End the worker if it is to stop.

    Raises:
        WorkerShutdown: with the exit status that Celery's handler chose, 0 without a signal.
        WorkerTerminate: a signal asked for a cold shutdown.
    """
    follow_flags(shutdown)
    state.maybe_shutdown()
    if shutdown.state is not State.SERVING:
        raise WorkerShutdown(0)


def is_hurried() -> bool:
    """Tell whether a second signal came. Safe in a signal handler: it takes no lock."""
    return is_set(state.should_terminate)
