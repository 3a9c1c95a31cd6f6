"""Runs that are more than one process that publishes or consumes."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from benchmarks.rig import Rig, Worker

_FIRST = 400  # events a second that are tried first
_HALVINGS = 3  # of the gap between the last rate that was sustained and the first that was not
_LATEST = 50.0  # milliseconds that p99 may take
_SECONDS = 3
_TRIES = 2  # at each rate: the machine may have something else to do just then
_IDLE = 5.0  # seconds
_SETTLE = 1.0  # seconds


def highest_rate(rig: Rig, peer: str) -> dict[str, float]:
    """Events a second that one process publishes and handles with p99 under 50 ms, to an eighth."""

    def sustains(rate: int) -> bool:
        runs = (rig.act(peer, "end_to_end", rate=rate, seconds=_SECONDS) for _ in range(_TRIES))
        return any(run["p99_ms"] < _LATEST for run in runs)

    low, high = 0, _FIRST
    while sustains(high):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) // 2
        low, high = (middle, high) if sustains(middle) else (low, middle)
    return {"rate": low}


def idle(rig: Rig, peer: str, options: Sequence[str]) -> dict[str, float]:
    """A worker that has nothing to do."""
    with rig.vhost() as env:
        rig.act_on(env, peer, "preload", count=500)
        with rig.worker(peer, env, options) as worker:
            worker.until_handled(500)
            time.sleep(_SETTLE)
            began = worker.cpu()
            time.sleep(_IDLE)
            return {"mb": worker.memory(), "cpu_percent": (worker.cpu() - began) / _IDLE * 100}


def after(rig: Rig, count: int) -> dict[str, float]:
    """A worker of ours that has handled so many."""
    with rig.vhost() as env:
        rig.act_on(env, "ours", "preload", count=count)
        with rig.worker("ours", env) as worker:
            worker.until_handled(count)
            return _settled(worker)


def before(rig: Rig, count: int) -> dict[str, float]:
    """A worker of ours, with so many yet to come, that has handled 5,000: most of them wait on the broker."""
    with rig.vhost() as env:
        rig.act_on(env, "ours", "preload", count=count)
        with rig.worker("ours", env, serve="waits:50") as worker:
            worker.until_handled(min(count // 2, 5_000))
            return {"mb": worker.memory()}


def _settled(worker: Worker) -> dict[str, float]:
    time.sleep(_SETTLE)
    return {"mb": worker.memory()}


def watching(env: Mapping[str, str]) -> Callable[[], None]:
    """Somebody who reads Celery's events, as Flower does, in a process of its own; what ends it."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.runs"], env=dict(env))

    def stop() -> None:
        process.terminate()
        process.wait()

    return stop


def _watch(url: str) -> None:
    """Read what comes on the exchange of Celery's events, and do nothing with it."""
    import celery

    app = celery.Celery(broker=url)
    with app.connection_for_read() as connection:
        app.events.Receiver(connection, handlers={"*": lambda _event: None}).capture()


if __name__ == "__main__":
    import os

    _watch(os.environ["QT_BENCH_URL"])
