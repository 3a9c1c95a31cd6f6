"""Process end: what a handler did that its whole process has to end for."""

import billiard
from billiard.common import terminate_handler_fired
from celery.platforms import EX_FAILURE
from celery.worker import state


def is_child() -> bool:
    """Tell whether this process is one of Celery's prefork pool."""
    return bool(billiard.current_process().name != "MainProcess")


def end_worker() -> None:
    """Have Celery stop the worker of this process with status 1, unless it is stopping already.

    A child of the prefork pool has no worker: see `end_child`.
    """
    if not is_set(state.should_stop):
        state.should_stop = EX_FAILURE


def end_child() -> None:
    """End this process if it is a child. Celery gives its event back, and starts another child.

    Raises:
        SystemExit: it is one.
    """
    if is_child():
        raise SystemExit(EX_FAILURE)


def is_told_to_end() -> bool:
    """Tell whether Celery told this process to end without waiting for what runs."""
    return is_set(state.should_terminate) or bool(terminate_handler_fired())


def is_set(flag: object) -> bool:
    """Tell whether a flag of Celery's is set: it holds an exit status, and that may be 0."""
    return flag is not None and flag is not False
