"""Commands that a fleet runs, on this machine and in docker-compose.yml.

None holds a password: addresses of the broker, its management API and the database come by the
environment.
"""

from enum import StrEnum

#: Address inside a container. From outside, the published ports decide who can connect.
ANY_ADDRESS = "0.0.0.0"  # noqa: S104


class Pool(StrEnum):
    """Worker pools, by the names of `qt-events worker --pool`."""

    ASYNCIO = "asyncio"
    PREFORK = "prefork"
    THREADS = "threads"
    SOLO = "solo"


#: Celery's names where they differ. For `-P prefork` it would start the pool of the configuration.
CELERY_NAMES = {Pool.PREFORK: "processes"}


def worker(
    name: str = "worker", *, pool: Pool | None = None, subscriptions: str | None = None
) -> list[str]:
    """Return the command of one worker.

    %h is the host's name, so a node's name is unique if `name` is unique on its host.
    """
    command = ["celery", "-A", "workers", "worker", "--loglevel=INFO", "-E"]
    options = {
        "--hostname": f"{name}@%h",
        "--pool": pool and CELERY_NAMES.get(pool, pool.value),
        "--subscriptions": subscriptions,
    }
    return [*command, *(f"{option}={value}" for option, value in options.items() if value)]


def feed(days: int | None = None, *, resume: bool = False) -> list[str]:
    """Return the command of the market feed."""
    options = [*(["--resume"] if resume else []), *([f"--days={days}"] if days else [])]
    return ["python", "-m", "workers", "feed", *options]


def recorder() -> list[str]:
    """Return the command of the recorder, which keeps all events in the history of QT_HISTORY."""
    return ["qt-events", "history", "record"]


def flower(port: int = 5555, address: str = ANY_ADDRESS) -> list[str]:
    """Return the command of Flower, which watches all workers of the broker."""
    return ["qt-events", "flower", f"--port={port}", f"--address={address}"]


def environment(broker: str, database: str) -> dict[str, str]:
    """Return the environment of these commands."""
    return {
        "CELERY_BROKER_URL": broker,
        # Else one that the user has set for other commands wins.
        "QT_BROKER_URL": broker,
        "QT_APP": "workers",
        "QT_DATABASE_URL": database,
    }
