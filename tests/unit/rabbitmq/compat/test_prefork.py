"""What the prefork pool keeps while Celery stops its consumer."""

from types import SimpleNamespace
from typing import Any

from qt_events.rabbitmq.compat.prefork import remembering


def job(*, written: bool) -> Any:
    return SimpleNamespace(_write_to=object() if written else None)


def test_what_was_sent_to_a_child_is_kept_and_the_rest_may_go() -> None:
    """Celery discards both: neither has been reported as begun."""
    jobs = {1: job(written=True), 2: job(written=False)}
    sent = jobs[1]
    with remembering(SimpleNamespace(_pool=SimpleNamespace(_cache=jobs))):
        jobs.clear()
    assert jobs == {1: sent}


def test_pools_without_processes_are_left_alone() -> None:
    """They have no such jobs."""
    with remembering(SimpleNamespace()):
        pass
