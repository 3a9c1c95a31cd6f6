"""What a fleet runs: one set of commands for `qt-events fleet` and docker-compose.yml.

None holds a password: addresses of the broker, its management API and the database come by environment.
"""

from enum import StrEnum

ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # inside a container; from outside, its published ports say who may come


class Pool(StrEnum):
    """Worker pools, each by its own name."""

    ASYNCIO = "asyncio"
    PREFORK = "prefork"
    THREADS = "threads"
    SOLO = "solo"


CELERYS = {Pool.PREFORK: "processes"}  # by its other name Celery gives the pool that the configuration names


def worker(name: str = "worker", *, pool: Pool | None = None, subscriptions: str | None = None) -> list[str]:
    """One worker; %h is the host's name, so that a node's name is unique as long as `name` is so on its host."""
    command = ["celery", "-A", "workers", "worker", "--loglevel=INFO", "-E", f"--hostname={name}@%h"]
    options = {"--pool": pool and CELERYS.get(pool, pool.value), "--subscriptions": subscriptions}
    return [*command, *(f"{option}={value}" for option, value in options.items() if value)]


def feed(days: int | None = None) -> list[str]:
    """The market, day by day, at the pace of the workers' answers."""
    return ["qt-events", "feed", *([f"--days={days}"] if days else [])]


def flower(port: int = 5555, address: str = ANY_ADDRESS) -> list[str]:
    """Flower, on all the workers of the broker."""
    return ["qt-events", "flower", f"--port={port}", f"--address={address}"]


def environment(broker: str, database: str) -> dict[str, str]:
    """What each of them reads."""
    return {"CELERY_BROKER_URL": broker, "QT_DATABASE_URL": database}
