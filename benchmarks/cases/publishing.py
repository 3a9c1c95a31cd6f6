"""Cases of confirmed publishes."""

from functools import partial

from benchmarks import runs
from benchmarks.case import Case, Sample, Target
from benchmarks.cases.size import Size
from benchmarks.rig import Rig

# Number of publishes; few are enough, because their bytecodes hardly vary.
_COUNTED = 100
# Events a second. A hundred queues get 5,000 copies, which a busy broker keeps up with.
_STEADY = 50


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the cases of one process that publishes."""
    return [in_flight(rig, size), latency(rig, size), bound(rig, size), spoolable(rig)]


def in_flight(rig: Rig, size: Size) -> Case:
    """Measure the rate with many publishes in flight."""

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
        "The time is from the first publish to the last confirm; events are made in between. "
        "Celery has no other way than to wait for each confirm. A body of ours has 410 bytes (its "
        "CloudEvents envelope), those of FastStream and raw 242, that of Celery 340 and 700 of "
        "headers. Ours and FastStream publish with the mandatory flag, so the broker returns what "
        "no queue got; raw and Celery do not. Ours makes ids with uuid7, the others with uuid4, "
        "which takes 2 µs more.",
        floors=(Target("raw", 0.8),),
    )


def latency(rig: Rig, size: Size) -> Case:
    """Measure publishes that each wait for the one before."""
    return Case(
        "latency",
        "confirmed publish, one at a time",
        ("p50_ms", "p99_ms"),
        {
            name: partial(rig.act, name, "publish_singly", count=size.events(2_000))
            for name in ("ours", "faststream")
        },
        (Target("faststream", 1.0, at_most=True),),
        "The time is from before the event is made until the coroutine that published it knows of "
        "the confirm. Most of it is the broker's, which writes to its disk first.",
    )


def bound(rig: Rig, size: Size) -> Case:
    """Measure that the number of bound queues costs the publisher nothing: the broker copies."""

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
        "Bytecodes are those that Python executes for a publish, in all threads, one publish at "
        "a time; loops inside C functions do not count. CPU is measured in another process, "
        f"which publishes {_STEADY} events a second, one at a time, and wakes for each. That is "
        "more than at full speed, where many go together. CPU is shown but not compared, because "
        "it includes the cost of waiting for a slower broker.",
        floors=targets,
    )


def spoolable(rig: Rig) -> Case:
    """Measure that a spool costs a publish nothing while the broker is there."""
    target = Target("without", 1.05, at_most=True)
    return Case(
        "spool",
        "what a publish costs its publisher with a spool, broker up; against one without",
        ("opcodes",),
        {
            "ours": partial(rig.act, "ours", "publish_spoolable_counted", count=_COUNTED),
            "without": partial(rig.act, "ours", "publish_counted", count=_COUNTED, subscriptions=1),
        },
        (target,),
        "Bytecodes in all threads, one publish at a time, the opening of the file included.",
        floors=(target,),
    )
