"""Cases of many subscriptions."""

from functools import partial

from benchmarks import runs
from benchmarks.case import Case, Sample, Target
from benchmarks.cases.size import Size
from benchmarks.rig import Rig

_MANY = 1_000
_FEWEST = 20
_COUNTED = 100  # publishes; few are enough, because their bytecodes hardly vary
_BARE = "one declares a quorum queue and the same two bindings for each, one after the other"


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the cases of a bus with many subscriptions."""
    many = max(_FEWEST, int(_MANY * size.scale))
    return [start(rig, many), back(rig, many), memory(rig, many), publish(rig, many)]


def start(rig: Rig, many: int) -> Case:
    """Measure a start on an empty broker."""
    return _against_bare(
        rig,
        "many, start",
        f"a start with {many:,} subscriptions, to the first handled event; bare py-amqp declares",
        "start",
        many,
        Target("raw", 1.0, at_most=True),
    )


def back(rig: Rig, many: int) -> Case:
    """Measure what a lost connection costs."""
    return _against_bare(
        rig,
        "many, back",
        f"back after all connections were lost, {many:,} subscriptions; bare py-amqp declares",
        "come_back",
        many,
        Target("raw", 0.2, at_most=True),
    )


def _against_bare(rig: Rig, name: str, what: str, action: str, many: int, target: Target) -> Case:
    return Case(
        name,
        what,
        ("seconds",),
        {
            "ours": partial(rig.act, "many", action, subscriptions=many),
            "raw": partial(rig.act, "many", "declare_bare", subscriptions=many),
        },
        (target,),
        f"Ours ends when an event of the last subscription is handled. The bare {_BARE}, on an "
        "empty virtual host, and consumes nothing.",
        floors=(target,),
    )


def memory(rig: Rig, many: int) -> Case:
    """Measure what an idle subscription costs the broker."""

    def declared(action: str) -> "partial[Sample]":
        return partial(runs.queue_memory, rig, action, many)

    target = Target("raw", 1.3, at_most=True)
    return Case(
        "many, broker",
        f"memory of the broker's queues for each of {many:,} idle subscriptions",
        ("queue_kb",),
        {"ours": declared("start"), "raw": declared("declare_bare")},
        (target,),
        f"What the management API says of all queues of a virtual host, by subscription. The bare "
        f"{_BARE}. Tables that queues share are not in it.",
        floors=(target,),
    )


def publish(rig: Rig, many: int) -> Case:
    """Measure that subscriptions to other events cost a publisher nothing."""

    def among(subscriptions: int) -> "partial[Sample]":
        return partial(
            rig.act, "many", "publish_counted", count=_COUNTED, subscriptions=subscriptions
        )

    target = Target("with 1", 1.1, at_most=True)
    return Case(
        "many, publish",
        f"what a publish costs its publisher beside {many:,} subscriptions to other events",
        ("opcodes",),
        {"ours": among(many), "with 1": among(1)},
        (target,),
        "Bytecodes are those that Python executes for a publish, in all threads, one publish at "
        "a time; loops inside C functions do not count.",
        floors=(target,),
    )
