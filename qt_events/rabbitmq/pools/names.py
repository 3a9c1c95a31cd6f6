"""Names of worker pools, and the options that each pool heeds."""

import logging
from typing import Any

from celery.concurrency import get_implementation

from qt_events.errors import NotSupportedError
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool

logger = logging.getLogger("qt_events")

#: Pools that a bus is tested on.
POOLS = ("asyncio", "prefork", "threads", "solo")

# Module of Celery's to its name for the pool.
_NAMES = {"thread": "threads"}


def pool_name(pool: Any) -> str:
    """Return the name of a pool class, given the class, its dotted path or a name of Celery's."""
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


#: Default of worker_prefetch_multiplier.
CELERYS_MULTIPLIER = 4


def check_options(pool: str, controller: Any) -> None:
    """Warn of options that a worker was given and its pool ignores.

    Raises:
        NotSupportedError: --autoscale on a pool without processes.
    """
    multiplier = getattr(controller, "prefetch_multiplier", CELERYS_MULTIPLIER)
    if multiplier != CELERYS_MULTIPLIER and not _is_honoured(pool, multiplier, controller):
        message = (
            "worker_prefetch_multiplier=%d: no effect on subscriptions on %s: "
            "give prefetch= to the bus or to the subscription"
        )
        logger.warning(message, multiplier, pool)
    if pool == "prefork":
        return
    if getattr(controller, "autoscale", None):
        raise NotSupportedError(
            f"--autoscale starts and ends processes, and {pool} has none: "
            "use -c, or prefork (-P processes)"
        )
    unheeded = [option for name, option in _PREFORK_ONLY.items() if getattr(controller, name, None)]
    if unheeded:
        message = "%s: no effect on %s, only on prefork (-P processes)"
        logger.warning(message, ", ".join(unheeded), pool)


def _is_honoured(pool: str, multiplier: int, controller: Any) -> bool:
    if multiplier:
        return pool == "prefork"
    # No limit. With classic queues the bus itself sets it, for Celery's own.
    return bool(controller.app.qt_events_runtime.topology.queue_type == "classic")
