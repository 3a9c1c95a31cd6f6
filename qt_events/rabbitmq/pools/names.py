"""Worker pools by the name that `celery worker -P` knows them by, and what of a worker's options each heeds."""

import logging
from typing import Any

from celery.concurrency import get_implementation

from qt_events.errors import NotSupportedError
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool

logger = logging.getLogger("qt_events")

POOLS = ("asyncio", "prefork", "threads", "solo")  #: those that a bus is tested on

_NAMES = {"thread": "threads"}  # Celery's module -> its name for the pool


def pool_name(pool: Any) -> str:
    """asyncio, prefork, threads, solo, ... for a pool class, its dotted path, or Celery's name for it."""
    implementation = get_implementation(pool)
    if issubclass(implementation, AsyncioPool):
        return "asyncio"
    module = implementation.__module__.rpartition(".")[2]
    return str(_NAMES.get(module, module))


_PREFORK_ONLY = {
    "time_limit": "--time-limit (task_time_limit)",
    "soft_time_limit": "--soft-time-limit (task_soft_time_limit)",
    "max_tasks_per_child": "--max-tasks-per-child",
    "max_memory_per_child": "--max-memory-per-child",
}


def check_options(pool: str, controller: Any) -> None:
    """Of what a worker was told, nothing that its pool cannot do is ignored in silence.

    Raises:
        NotSupportedError: it cannot do without.
    """
    if pool == "prefork":
        return
    if getattr(controller, "autoscale", None):
        message = f"--autoscale starts and ends processes, and {pool} has none: use -c, or prefork (-P processes)"
        raise NotSupportedError(message)
    unheeded = [option for name, option in _PREFORK_ONLY.items() if getattr(controller, name, None)]
    if unheeded:
        logger.warning(
            "%s: no effect on %s, only on prefork (-P processes)", ", ".join(unheeded), pool
        )
