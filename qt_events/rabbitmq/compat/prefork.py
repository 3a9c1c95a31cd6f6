"""Celery's prefork pool, less a hole: what a child has in its hands is not forgotten when the worker stops."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def remembering(pool: Any) -> Iterator[None]:
    """While Celery (5.7) stops a consumer: it has the pool discard every job that no child has said to have begun.

    One that was written to a child's pipe is begun nevertheless. Nobody would read its result: handled and never
    acknowledged, it would come again; and the child would wait 30 s for somebody to read.
    """
    jobs: dict[int, Any] = getattr(
        getattr(pool, "_pool", None), "_cache", {}
    )  # no other pool has such
    sent = {
        number: job for number, job in jobs.items() if getattr(job, "_write_to", None) is not None
    }
    try:
        yield
    finally:
        jobs.update(sent)
