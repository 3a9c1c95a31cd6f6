"""Worker pools by the name that `celery worker -P` knows them by."""

from typing import Any

from celery.concurrency import get_implementation

from qt_events.rabbitmq.pool import AsyncioPool

_NAMES = {"thread": "threads"}  # Celery's module -> its name for the pool


def pool_name(pool: Any) -> str:
    """asyncio, prefork, threads, solo, ... for a pool class, its dotted path, or Celery's name for it."""
    implementation = get_implementation(pool)
    if issubclass(implementation, AsyncioPool):
        return "asyncio"
    module = implementation.__module__.rpartition(".")[2]
    return str(_NAMES.get(module, module))
