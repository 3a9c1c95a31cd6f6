"""Jobs of Celery's prefork pool that Celery would forget while it stops a consumer."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qt_events.rabbitmq.compat.names import PREFORK, are_there


@contextmanager
def remembering(pool: Any) -> Iterator[None]:
    """Keep the jobs that were sent to a child process.

    Celery 5.7 has the pool discard every job that no child has said to have begun. One that was
    written to a child's pipe is begun nevertheless. Nobody would read its result: handled and never
    acknowledged, it would come again, and the child would wait 30 s for a reader.
    """
    jobs = _jobs(pool)
    sent = {number: job for number, job in jobs.items() if job._write_to is not None}  # noqa: SLF001
    try:
        yield
    finally:
        jobs.update(sent)


def _jobs(pool: Any) -> dict[int, Any]:
    """Return the pool's jobs by number. Other pools have none."""
    prefork = sys.modules.get("celery.concurrency.prefork")  # a worker that uses it has imported it
    if prefork is None or not isinstance(pool, prefork.TaskPool) or not are_there(PREFORK):
        return {}
    processes = pool._pool  # noqa: SLF001
    return {} if processes is None else processes._cache  # noqa: SLF001
