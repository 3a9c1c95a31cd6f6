"""Cases of the bus without a broker."""

from functools import partial

from benchmarks.case import Case, Sample, Target
from benchmarks.cases.size import Size
from benchmarks.rig import Rig


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the cases in one process, on one event loop."""
    return [
        throughput(rig, size),
        plain(rig, size),
        batch(rig, size),
        latency(rig, size),
        unrelated(rig, size),
    ]


def throughput(rig: Rig, size: Size) -> Case:
    """Compare with a bus that users could write themselves."""
    count = size.events(50_000)
    return Case(
        "in memory",
        "in memory: made, published, one async handler; against one asyncio.Queue with gather",
        ("rate", "cpu_us"),
        {
            "ours": partial(rig.act, "memory", "throughput", count=count),
            "home-made": partial(rig.act, "memory", "throughput_home_made", count=count),
        },
        (Target("home-made", 4.0),),
        "The home-made bus has no names, no limits, no retries and no error handling: it is one "
        "asyncio.Queue, a dict of handlers by class, and `gather` for each event. Unfair to it: "
        "its events have a uuid4, which takes 2 µs more than the uuid7 of ours. Unfair to ours: "
        "our events have more attributes. Both validate the payload. The publisher yields to the "
        "loop after every hundred events.",
        floors=(Target("home-made", 2.8),),
    )


def plain(rig: Rig, size: Size) -> Case:
    """Compare events without a class, which nothing but JSON's limits checks."""
    count = size.events(50_000)
    return Case(
        "in memory, plain",
        "in memory: a plain Event made, published, one async handler; against a dataclass by the "
        "same home-made bus",
        ("rate", "cpu_us"),
        {
            "ours": partial(rig.act, "memory", "throughput_plain", count=count),
            "home-made": partial(rig.act, "memory", "throughput_plain_home_made", count=count),
        },
        (Target("home-made", 4.0),),
        "The home-made bus of the row above, with a frozen dataclass that checks nothing. Unfair "
        "to it: the uuid4. Unfair to ours: each value of the payload is looked at, since JSON must "
        "carry it, and frozen.",
        floors=(Target("home-made", 1.8),),
    )


def batch(rig: Rig, size: Size) -> Case:
    """Compare a batch handler with one of one event, both of ours."""

    def handle(batch: int) -> "partial[Sample]":
        return partial(rig.act, "memory", "handling", count=size.events(50_000), batch=batch)

    target = Target("one by one", 1.5)
    return Case(
        "in memory, batch",
        "in memory: async handler of 500 events that does nothing; against one by one",
        ("rate", "cpu_us"),
        {"ours": handle(500), "one by one": handle(0)},
        (target,),
        "The events are made and published before the bus runs: only their way to the handler and "
        "to their outcome is measured.",
        floors=(target,),
    )


def latency(rig: Rig, size: Size) -> Case:
    """Compare with the least that is possible."""
    target = Target("bare queue", 10.0, at_most=True, difference=True)
    count = size.events(5_000)
    return Case(
        "in memory, latency",
        "in memory: from publish to the handler; against a bare asyncio.Queue",
        ("p50_us",),
        {
            "ours": partial(rig.act, "memory", "latency", count=count),
            "bare queue": partial(rig.act, "memory", "latency_bare_queue", count=count),
        },
        (target,),
        "Events are made beforehand and published one at a time. The bare queue is `put`, `get` "
        "and one task that takes: no bus, no handler, no gather.",
        floors=(target,),
    )


def unrelated(rig: Rig, size: Size) -> Case:
    """Measure that subscriptions which do not match cost nothing."""
    target = Target("without them", 1.1, at_most=True)

    def beside(subscriptions: int) -> "partial[Sample]":
        return partial(
            rig.act, "memory", "throughput", count=size.events(50_000), unrelated=subscriptions
        )

    return Case(
        "unrelated",
        "in memory, beside 10,000 subscriptions to other events",
        ("cpu_us",),
        {"ours": beside(10_000), "without them": beside(0)},
        (target,),
        "Measured like the throughput in memory. Subscribing itself is not measured.",
        floors=(target,),
    )
