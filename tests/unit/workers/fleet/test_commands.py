"""Commands of a fleet."""

import pytest

from workers.fleet import commands
from workers.fleet.commands import Pool


def test_a_worker_is_celerys_own_with_a_name_of_its_own() -> None:
    """Task events (-E) are on, for monitors."""
    assert commands.worker("worker-2") == [
        *("celery", "-A", "workers", "worker"),
        *("--loglevel=INFO", "-E", "--hostname=worker-2@%h"),
    ]


def test_a_worker_may_have_a_pool_and_a_part() -> None:
    """Both are options of Celery's own."""
    assert commands.worker(pool=Pool.THREADS, subscriptions="executor,risk_*")[-2:] == [
        "--pool=threads",
        "--subscriptions=executor,risk_*",
    ]


@pytest.mark.parametrize(
    ("pool", "celerys"),
    [("asyncio", "asyncio"), ("prefork", "processes"), ("threads", "threads"), ("solo", "solo")],
)
def test_a_pool_goes_by_our_name_and_is_given_by_celerys(pool: str, celerys: str) -> None:
    """Celery would start the pool of the configuration for `-P prefork`."""
    assert commands.worker(pool=Pool(pool))[-1] == f"--pool={celerys}"


def test_the_feed_may_be_shortened() -> None:
    assert commands.feed() == ["python", "-m", "workers", "feed"]
    assert commands.feed(30) == ["python", "-m", "workers", "feed", "--days=30"]


def test_no_command_holds_an_address_that_may_hold_a_password() -> None:
    """Other users of a machine see command lines."""
    environment = commands.environment("amqp://u:secret@host//", "postgresql://u:secret@host/qt")
    started = [commands.worker(), commands.feed(), commands.flower(), commands.recorder()]
    assert not any("://" in argument for command in started for argument in command)
    for name in ("CELERY_BROKER_URL", "QT_BROKER_URL"):
        assert environment[name] == "amqp://u:secret@host//"
    assert environment["QT_DATABASE_URL"] == "postgresql://u:secret@host/qt"
