"""Cases of one worker that handles events from a filled queue."""

from functools import partial

from benchmarks import runs
from benchmarks.case import Case, Sample, Target
from benchmarks.cases.size import Size
from benchmarks.flower import consume_watched
from benchmarks.rig import Rig
from benchmarks.trade import WAIT

SOLO = ("-P", "solo")
_PREFORK = ("-P", "prefork", "-c", "2", "--prefetch-multiplier", "4")
_OUR_PREFORK = ("-P", "processes", "-c", "2")
_AT_ONCE, _BATCH = 200, 500
_UNITS = ("rate", "cpu_us")


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the cases of one worker process, or of one with two children."""
    return [
        no_op(rig, size),
        batch(rig, size),
        watched(rig, size),
        told(rig, size),
        waiting(rig, size),
        prefork(rig, size),
        fan_out(rig, size),
    ]


def no_op(rig: Rig, size: Size) -> Case:
    """Measure only the way to the handler and back."""
    n = size.events
    return Case(
        "consume",
        "consume, one worker process, async handler that does nothing",
        _UNITS,
        {
            "ours": partial(rig.consume, "ours", n(20_000)),
            "faststream": partial(rig.consume, "faststream", n(10_000)),
            "celery": partial(rig.consume, "celery", n(10_000), SOLO),
            "raw": partial(rig.consume, "raw", n(20_000)),
        },
        (Target("faststream", 2.0), Target("celery", 2.0), Target("raw", 0.4)),
        "Prefetch is 100, to which ours grows. Bodies are those of `publish`: ours parses 410 "
        "bytes, "
        "FastStream and raw 242. Celery's solo pool handles one task at a time, and its handler "
        "is a plain function. FastStream acknowledges each event by itself. Ours acknowledges "
        "together the events that are done together. Raw acknowledges fifty at a time, in a loop "
        "that calls no handler: it is a ceiling, not a bus.",
        floors=(Target("raw", 0.55),),
    )


def batch(rig: Rig, size: Size) -> Case:
    """Measure a batch handler that does nothing."""
    count = size.events(20_000)
    return Case(
        "batch",
        f"consume, async handler of {_BATCH} events that does nothing; against one by one",
        _UNITS,
        {
            "ours": partial(rig.consume, "ours", count, serve=f"batch:{_BATCH}"),
            "one by one": partial(rig.consume, "ours", count),
        },
        (Target("one by one", 1.0),),
        "Prefetch is what each takes by default: 1,000 for batches, 100 one by one. Nearly all of "
        "an event's cost is to read it from the connection and to decode it, which a batch does "
        "not spare. The row in memory shows the way to the handler alone.",
    )


def watched(rig: Rig, size: Size) -> Case:
    """Measure with `-E` and Flower beside the worker."""
    consume = partial(consume_watched, rig)
    return Case(
        "watched",
        "the same with task events on and Flower attached",
        _UNITS,
        {
            "ours": partial(consume, "ours", size.events(10_000), ("-E",), sends_events=True),
            "faststream": partial(consume, "faststream", size.events(10_000), sends_events=False),
        },
        (Target("faststream", 1.2),),
        "`qt-events flower` starts before the worker and runs on the same two cores. At the end "
        "it must have seen events of all three kinds that a worker sends for a delivery. "
        "Prefetch is 100, to which ours grows. "
        "The same Flower runs beside FastStream, which sends it nothing: there Flower takes "
        "memory but hardly any CPU. Beside ours it also takes the CPU to read the events. The CPU "
        "shown is the worker's alone.",
    )


def told(rig: Rig, size: Size) -> Case:
    """Measure with somebody who listens to fates."""
    target = Target("untold", 0.85)
    return Case(
        "fates",
        "the same with fates told",
        _UNITS,
        {
            "ours": partial(runs.told, rig, size.events(20_000)),
            "untold": partial(rig.consume, "ours", size.events(20_000)),
        },
        (target,),
        "A queue is bound to the exchange of fates, and nobody takes them from it: the rate and "
        "the CPU are the worker's alone. `untold` is ours without that queue, in the same round. "
        "Prefetch is 100.",
        floors=(target,),
    )


def waiting(rig: Rig, size: Size) -> Case:
    """Measure many handlers that wait at the same time."""
    serve = f"waits:{_AT_ONCE}"
    return Case(
        "waiting",
        f"consume, async handler that waits 10 ms, {_AT_ONCE} at a time",
        _UNITS,
        {
            "ours": partial(rig.consume, "ours", size.events(20_000), serve=serve),
            "no-op": partial(rig.consume, "ours", size.events(20_000)),
            "faststream": partial(rig.consume, "faststream", size.events(10_000), serve=serve),
        },
        (Target("no-op", 0.9, cap=_AT_ONCE / WAIT),),
        f"{_AT_ONCE} at once allow {_AT_ONCE / WAIT:,.0f} events a second. `no-op` is ours with a "
        f"handler that does nothing, in the same round. Prefetch is {2 * _AT_ONCE} (ours grows "
        "to twice its concurrency, FastStream was given as much), and 100 for `no-op`. "
        "FastStream is limited by its prefetch alone, so it may have 400 at once.",
    )


def prefork(rig: Rig, size: Size) -> Case:
    """Measure handlers in child processes."""
    return Case(
        "prefork",
        "consume, prefork, two children",
        _UNITS,
        {
            "ours": partial(rig.consume, "ours", size.events(8_000), _OUR_PREFORK, "sync"),
            "celery": partial(rig.consume, "celery", size.events(8_000), _PREFORK),
        },
        (Target("celery", 1.0),),
        "Prefetch is 8 for both, four for each child: ours takes that by default, Celery was "
        "given as much. Both handlers are plain functions. CPU is that of parent and children "
        "together.",
    )


def fan_out(rig: Rig, size: Size) -> Case:
    """Measure one event that goes to ten queues."""

    def consume(peer: str) -> "partial[Sample]":
        return partial(rig.consume, peer, size.events(2_000), serve="fanout:10", subscriptions=10)

    return Case(
        "fan-out",
        "deliveries of one event to 10 subscriptions in one worker",
        _UNITS,
        {name: consume(name) for name in ("ours", "faststream")},
        (Target("faststream", 2.0), Target("", 5_000)),
        "Prefetch is 100 for each of the ten queues; ours grows to it. A delivery goes to one "
        "subscription; rate and CPU are for each delivery.",
    )
