"""Remote control's answers where a pool cannot do what is asked."""

from types import SimpleNamespace
from typing import Any

import celery
import pytest
from celery.worker.control import Panel

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.pools import POOLS
from qt_events.rabbitmq.remote_control import NOTES, REFUSED, table


class _Solo:
    """As far as its name goes."""

    __module__ = "celery.concurrency.solo"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def grow(self, n: int) -> None:
        self.asked.append(n)


def state(app: celery.Celery) -> Any:
    controller = SimpleNamespace(autoscaler=None)
    consumer = SimpleNamespace(pool=_Solo(), controller=controller, _update_prefetch_count=lambda _: None)
    return SimpleNamespace(app=app, consumer=consumer)


def test_a_refusal_names_command_pool_and_reason() -> None:
    """And the pool is not asked."""
    asked = state(CeleryEventBus("amqp://localhost").app)
    answer = Panel.data["pool_grow"](asked, n=1)
    assert answer == {"error": f"pool_grow on solo: {REFUSED['pool_grow']['solo']}"}
    assert asked.consumer.pool.asked == []


def test_without_a_bus_the_commands_are_celerys() -> None:
    """The commands are one registry for all apps of a process."""
    asked = state(celery.Celery(set_as_current=False))
    assert Panel.data["pool_grow"](asked, n=1) == {"ok": "pool will grow"}
    assert asked.consumer.pool.asked == [1]


@pytest.mark.parametrize("command", NOTES)
def test_the_table_has_a_row_for_each_command(command: str) -> None:
    """With an answer for each pool."""
    (row,) = [line for line in table().splitlines() if line.startswith(f"| `{command}` |")]
    marks = [cell.strip() for cell in row.split("|")[2 : 2 + len(POOLS)]]
    assert marks == ["refused" if pool in REFUSED.get(command, {}) else "yes" for pool in POOLS]
