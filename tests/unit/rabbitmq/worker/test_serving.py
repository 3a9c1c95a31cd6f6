"""Serving: how many unacknowledged events a consumer may hold on each pool."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency import get_implementation

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.worker.serving import Serving


def serving(pool: str, *subscriptions: Subscription, fixed: int | None = None) -> Serving:
    """Return that of a worker with three threads or children, and a multiplier of 5."""
    kind = AsyncioPool if pool == "asyncio" else get_implementation(pool)
    consumer: Any = SimpleNamespace(
        pool=kind.__new__(kind),
        selection=subscriptions,
        controller=SimpleNamespace(concurrency=3, prefetch_multiplier=5),
    )
    made = Serving(fixed)
    made.take_part(consumer)
    return made


@pytest.mark.parametrize(
    ("pool", "by_default"), [("asyncio", 2), ("processes", 15), ("threads", 1), ("solo", 1)]
)
def test_each_pool_has_its_own_default(pool: str, by_default: int) -> None:
    """Prefork honours Celery's multiplier. Threads and solo take all that comes."""
    one = Subscription("one", print)
    assert serving(pool, one).prefetch(one) == by_default


@pytest.mark.parametrize("pool", ["asyncio", "processes"])
def test_a_number_that_was_chosen_wins(pool: str) -> None:
    """The subscription's before the bus's, and concurrency can be reached in any case."""
    own, other = Subscription("own", print, prefetch=9), Subscription("other", print)
    wide = Subscription("wide", print, concurrency=30)
    made = serving(pool, own, other, wide, fixed=7)
    assert [made.prefetch(each) for each in (own, other, wide)] == [9, 7, 30]


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_number_without_effect_is_named(pool: str, caplog: pytest.LogCaptureFixture) -> None:
    """Only the broker keeps to the concurrency there."""
    own = Subscription("own", print, prefetch=9)
    assert serving(pool, own).prefetch(own) == 1
    assert f"prefetch= has no effect on {pool}" in caplog.text
