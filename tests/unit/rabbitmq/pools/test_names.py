"""Names of pools, and options that a pool does not have."""

import logging
from types import SimpleNamespace

import pytest

from qt_events.errors import NotSupportedError
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.names import POOLS, check_options, pool_name


def test_a_pool_has_one_name_however_it_is_written() -> None:
    """Celery has two for prefork, and a module `thread` for `threads`."""
    assert pool_name(AsyncioPool) == "asyncio"
    assert pool_name("processes") == "prefork"
    for name in ("prefork", "threads", "solo"):
        assert pool_name(name) == name


@pytest.mark.parametrize("pool", [pool for pool in POOLS if pool != "prefork"])
def test_an_option_without_effect_is_named(pool: str, caplog: pytest.LogCaptureFixture) -> None:
    """The warning is one line that says what to do."""
    check_options(
        pool, SimpleNamespace(time_limit=5, soft_time_limit=None, max_memory_per_child=10)
    )
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == (
        "--time-limit (task_time_limit), --max-memory-per-child: "
        f"no effect on {pool}, only on prefork (-P processes)"
    )


def test_prefork_has_them_all(caplog: pytest.LogCaptureFixture) -> None:
    """A worker on prefork logs no warning."""
    check_options("prefork", SimpleNamespace(time_limit=5, autoscale=(4, 1)))
    assert caplog.records == []


def test_autoscale_without_processes_is_refused() -> None:
    """The error says what to use instead."""
    with pytest.raises(NotSupportedError, match="threads has none: use -c, or prefork"):
        check_options("threads", SimpleNamespace(autoscale=(4, 1)))


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("multiplier", [0, 1, 4, 10])
def test_a_prefetch_multiplier_is_honoured_or_named(
    pool: str, multiplier: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Prefork multiplies its children; 0, for no limit, is honoured nowhere."""
    runtime = SimpleNamespace(topology=SimpleNamespace(queue_type="quorum"))
    app = SimpleNamespace(qt_events_runtime=runtime)
    check_options(pool, SimpleNamespace(prefetch_multiplier=multiplier, app=app))
    honoured = multiplier == 4 or (pool == "prefork" and multiplier)
    said = [f"worker_prefetch_multiplier={multiplier}" in each.message for each in caplog.records]
    assert said == ([] if honoured else [True])
