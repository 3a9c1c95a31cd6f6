"""Runs that need more than one process that publishes or consumes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.case import Sample
from benchmarks.rig import Env, Rig
from benchmarks.worker import Worker, worker

# Seconds until memory and CPU have settled.
_SETTLE = 1.0


def bound(rig: Rig, subscriptions: int, count: int, steady: int, rate: int) -> Sample:
    """Measure a publish with `subscriptions` queues bound: bytecodes, and CPU at a steady rate.

    Each figure comes from its own process. Both share one virtual host, because declaring a hundred
    quorum queues takes longer than everything else.
    """
    with rig.vhost() as env:
        return {
            **rig.act_on(env, "ours", "publish_counted", count=count, subscriptions=subscriptions),
            **rig.act_on(
                env,
                "ours",
                "publish_steadily",
                count=steady,
                subscriptions=subscriptions,
                rate=rate,
            ),
        }


def told(rig: Rig, count: int) -> Sample:
    """Measure a worker of ours that tells the fates of its events, as `Rig.consume` does."""
    with rig.vhost() as env:
        rig.act_on(env, "ours", "preload_told", count=count)
        with worker("ours", env) as handling:
            return handling.pace(count)


@contextmanager
def _recording(env: Env) -> Iterator[Worker]:
    """Start a worker that records into an SQLite database of its own."""
    with (
        TemporaryDirectory() as folder,
        worker("recording", env, serve=f"sqlite:///{Path(folder)}/events.db") as recording,
    ):
        yield recording


def publish(rig: Rig, count: int, rate: int, counted: int) -> Sample:
    """Measure a publish of ours: CPU at a steady rate, and bytecodes of `counted` publishes.

    A worker handles the events meanwhile, as a recorder does: beside any, a publisher finds the
    caches of its core cold.
    """
    with rig.vhost() as env:
        rig.preload(env, "ours", counted)
        with worker("ours", env) as handling:
            handling.until_handled(counted)
            return {
                **rig.act_on(env, "ours", "publish_in_bursts", count=count, rate=rate),
                **rig.act_on(env, "ours", "publish_counted", count=counted, subscriptions=1),
            }


def publish_recorded(rig: Rig, count: int, rate: int, counted: int) -> Sample:
    """Measure the same with a history attached, beside the worker that records it."""
    with rig.vhost() as env, _recording(env) as recording:
        rig.preload(env, "recording", counted)
        recording.until_handled(counted)
        return {
            **rig.act_on(env, "recording", "publish_in_bursts", count=count, rate=rate),
            **rig.act_on(env, "recording", "publish_counted", count=counted),
        }


def recorder(rig: Rig, count: int) -> Sample:
    """Measure a worker that records what waits on its queue, as `Rig.consume` does."""
    with rig.vhost() as env:
        rig.preload(env, "recording", count)
        with _recording(env) as recording:
            return recording.pace(count)


def recorder_growth(rig: Rig, few: int, many: int) -> Sample:
    """Measure what the peak of a recorder's memory grows by from `few` events to `many`."""
    with rig.vhost() as env, _recording(env) as recording:
        rig.preload(env, "recording", few)
        recording.until_handled(few)
        before = recording.peak()
        rig.preload(env, "recording", many - few)
        recording.until_handled(many)
        after = recording.peak()
    return {"grown_mb": after - before, "peak_mb": after}


def idle(rig: Rig, peer: str, seconds: float, options: Sequence[str] = ()) -> Sample:
    """Measure an idle worker for `seconds` after its first 500 events."""
    with rig.vhost() as env:
        rig.preload(env, peer, 500)
        with worker(peer, env, options) as waiting:
            waiting.until_handled(500)
            time.sleep(_SETTLE)
            began = waiting.cpu()
            time.sleep(seconds)
            return {"mb": waiting.memory(), "cpu_percent": (waiting.cpu() - began) / seconds * 100}


def growth(rig: Rig, few: int, many: int) -> Sample:
    """Measure one worker of ours after `few` events and after `many`: its memory and its growth."""
    with rig.vhost() as env:
        rig.preload(env, "ours", few)
        with worker("ours", env) as handling:
            handling.until_handled(few)
            time.sleep(_SETTLE)
            before = handling.memory()
            rig.preload(env, "ours", many - few)
            handling.until_handled(many)
            time.sleep(_SETTLE)
            after = handling.memory()
    return {"grown_mb": after - before, "mb": after}


def backlog(rig: Rig, count: int, handled: int) -> Sample:
    """Measure a worker of ours that has handled `handled` of `count` events.

    Its handler takes 50 events every 10 ms, so most of the events still wait on the broker.
    """
    with rig.vhost() as env:
        rig.preload(env, "ours", count)
        with worker("ours", env, serve="waits:50") as handling:
            handling.until_handled(handled)
            return {"mb": handling.memory()}


def queue_memory(rig: Rig, action: str, subscriptions: int) -> Sample:
    """Measure the broker's queues after an action of `peers.many`, by subscription."""
    with rig.vhost() as env:
        rig.act_on(env, "many", action, subscriptions=subscriptions)
        return {"queue_kb": rig.queue_memory(env) / subscriptions / 1000}
