"""Jobs that the prefork pool keeps while Celery stops its consumer."""

from types import SimpleNamespace
from typing import Any

from celery.concurrency.prefork import TaskPool

from qt_events.rabbitmq.compat.prefork import remembering


def job(*, written: bool) -> Any:
    return SimpleNamespace(_write_to=object() if written else None)


def pool(jobs: dict[int, Any] | None) -> Any:
    made = TaskPool.__new__(TaskPool)
    made._pool = None if jobs is None else SimpleNamespace(_cache=jobs)  # noqa: SLF001
    return made


def test_what_was_sent_to_a_child_is_kept_and_the_rest_may_go() -> None:
    """Celery discards both: neither has been reported as begun."""
    jobs = {1: job(written=True), 2: job(written=False)}
    sent = jobs[1]
    with remembering(pool(jobs)):
        jobs.clear()
    assert jobs == {1: sent}


def test_pools_without_processes_are_left_alone() -> None:
    """Another kind of pool, and one that has not started."""
    for each in (SimpleNamespace(), pool(None)):
        with remembering(each):
            pass
