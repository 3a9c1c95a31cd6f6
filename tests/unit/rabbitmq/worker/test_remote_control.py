"""Remote control's answers where a pool cannot do what is asked."""

from types import SimpleNamespace
from typing import Any

import celery
import pytest
from celery.worker.control import Panel

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.pools.names import POOLS
from qt_events.rabbitmq.worker.remote_control import RULES, Rule, table

BY_COMMAND = {rule.command: rule for rule in RULES}


class _Solo:
    """Pool in a module with the name of Celery's."""

    __module__ = "celery.concurrency.solo"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def grow(self, n: int) -> None:
        self.asked.append(n)


def state(app: celery.Celery) -> Any:
    controller = SimpleNamespace(autoscaler=None)
    consumer = SimpleNamespace(
        pool=_Solo(), controller=controller, _update_prefetch_count=lambda _: None
    )
    return SimpleNamespace(app=app, consumer=consumer)


def test_a_refusal_names_command_pool_and_reason() -> None:
    """The pool is not asked."""
    asked = state(CeleryEventBus("amqp://localhost").app)
    answer = Panel.data["pool_grow"](asked, n=1)
    assert answer == {"error": f"pool_grow on solo: {BY_COMMAND['pool_grow'].refused['solo']}"}
    assert asked.consumer.pool.asked == []


def test_without_a_bus_the_commands_are_celerys() -> None:
    """The commands are one registry for all apps of a process."""
    asked = state(celery.Celery(set_as_current=False))
    assert Panel.data["pool_grow"](asked, n=1) == {"ok": "pool will grow"}
    assert asked.consumer.pool.asked == [1]


@pytest.mark.parametrize("command", ["add_consumer", "cancel_consumer"])
def test_a_queue_of_no_subscription_is_a_mistake(command: str) -> None:
    """The error names it; the pool may do the rest of the command."""
    asked = state(CeleryEventBus("amqp://localhost").app)
    answer = Panel.data[command](asked, queue="elsewhere")
    assert answer == {
        "error": f"{command} on solo: no subscription of this worker has a queue 'elsewhere'"
    }


def test_each_command_has_one_rule_and_is_celerys() -> None:
    """A rule for what Celery does not know would guard nothing."""
    assert len(BY_COMMAND) == len(RULES)
    assert set(BY_COMMAND) <= set(Panel.data)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.command)
def test_the_table_has_a_row_for_each_command(rule: Rule) -> None:
    """The row has an answer for each pool."""
    (row,) = [line for line in table().splitlines() if line.startswith(f"| `{rule.command}` |")]
    marks = [cell.strip() for cell in row.split("|")[2 : 2 + len(POOLS)]]
    assert marks == ["refused" if pool in rule.refused else "yes" for pool in POOLS]


def test_reasons_that_differ_name_their_pools() -> None:
    """Readers of two refusals learn which one is theirs."""
    (row,) = [line for line in table().splitlines() if line.startswith("| `pool_grow` |")]
    assert "; refused on threads: Celery's pool of threads keeps its size" in row
    assert "; refused on solo: solo handles one event at a time" in row
