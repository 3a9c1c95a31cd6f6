"""Confirmed publishes."""

from functools import partial

from benchmarks import runs
from benchmarks.case import Case, Sample, Target
from benchmarks.cases.size import Size
from benchmarks.rig import Rig

_COUNTED = 100  # publishes: their bytecodes hardly vary
_STEADY = (
    50  # events a second: a hundred queues get 5,000, which a broker keeps up with beside others
)


def cases(rig: Rig, size: Size) -> list[Case]:
    """Of one process."""
    return [in_flight(rig, size), latency(rig, size), bound(rig, size)]


def in_flight(rig: Rig, size: Size) -> Case:
    """As fast as confirms come."""

    def publish(peer: str, count: int) -> "partial[Sample]":
        return partial(rig.act, peer, "publish", count=size.events(count))

    return Case(
        "publish",
        "confirmed publish, one process, 100 in flight",
        ("rate", "cpu_us"),
        {
            "ours": publish("ours", 20_000),
            "faststream": publish("faststream", 10_000),
            "celery": publish("celery", 2_000),
            "raw": publish("raw", 20_000),
        },
        (Target("faststream", 2.5), Target("celery", 10), Target("raw", 0.6)),
        "From the first publish to the last confirm, events made in between. Celery waits for each confirm by "
        "itself: it has no other way. A body of ours has 410 bytes (its CloudEvents envelope), FastStream's and "
        "raw's 242, Celery's 340 and 700 of headers. Ours and FastStream's are mandatory, so the broker tells of "
        "what no queue got; raw's and Celery's are not. Ours makes ids with uuid7, the others with uuid4, which "
        "takes 2 µs more.",
        floors=(Target("raw", 0.8),),
    )


def latency(rig: Rig, size: Size) -> Case:
    """Each before the next."""
    return Case(
        "latency",
        "confirmed publish, one at a time",
        ("p50_ms", "p99_ms"),
        {
            name: partial(rig.act, name, "publish_singly", count=size.events(2_000))
            for name in ("ours", "faststream")
        },
        (Target("faststream", 1.0, at_most=True),),
        "From before the event is made until its confirm is known to the coroutine that published it. Most of it is "
        "the broker's, which writes to its disk first.",
    )


def bound(rig: Rig, size: Size) -> Case:
    """The broker copies to queues; the publisher need not know how many there are."""

    def with_queues(subscriptions: int) -> "partial[Sample]":
        steady = int(_STEADY * size.seconds(5))
        return partial(runs.bound, rig, subscriptions, _COUNTED, steady, _STEADY)

    targets = tuple(Target(other, 1.1, at_most=True) for other in ("with 1", "with 10"))
    return Case(
        "bound",
        "what a publish costs its publisher with 100 queues bound; against 10 and 1",
        ("opcodes", "cpu_us"),
        {"ours": with_queues(100), "with 10": with_queues(10), "with 1": with_queues(1)},
        targets,
        "Bytecodes that Python executes for a publish, in all threads, one publish at a time; loops inside C "
        f"functions do not count. CPU is of another process, which publishes {_STEADY} events a second, one at a "
        "time, and wakes for each: more than at full speed, where many go together. It is shown, not compared: "
        "beside what a publish does it holds what waiting for a slower broker adds.",
        floors=targets,
    )
