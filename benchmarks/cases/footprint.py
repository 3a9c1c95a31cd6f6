"""Memory, idle CPU, imports."""

from functools import partial

from benchmarks import runs, starts
from benchmarks.case import Case, Target
from benchmarks.cases.consuming import SOLO
from benchmarks.cases.size import Size
from benchmarks.rig import Rig

_SAME = 2.0  # MB that count as unchanged: an allocator's arenas


def cases(rig: Rig, size: Size) -> list[Case]:
    """What it takes beside what it does."""
    return [
        idle_worker(rig, size),
        growth(rig, size),
        backlog(rig, size),
        idle_in_memory(rig, size),
        in_memory(),
        imports(),
    ]


def idle_worker(rig: Rig, size: Size) -> Case:
    """Nothing to do."""
    seconds = size.seconds(10)
    return Case(
        "idle worker",
        "memory and CPU of a worker that waits, against plain Celery's",
        ("mb", "cpu_percent"),
        {
            "ours": partial(runs.idle, rig, "ours", seconds),
            "celery": partial(runs.idle, rig, "celery", seconds, SOLO),
        },
        (
            Target("celery", 15.0, at_most=True, difference=True),
            Target("", 0.5, at_most=True, unit="cpu_percent"),
        ),
        f"After 500 events and a second, for {seconds:g} seconds. CPU as the kernel's scheduler counts it, in "
        "nanoseconds. Celery's is its solo pool, without remote control.",
        floors=(Target("celery", 5.0, at_most=True, difference=True),),
    )


def growth(rig: Rig, size: Size) -> Case:
    """No growth."""
    few, many = size.events(10_000), size.events(100_000)
    target = Target("", _SAME, at_most=True)
    return Case(
        "memory under load",
        f"what a worker's memory grows by from {few:,} events to {many:,}",
        ("grown_mb", "mb"),
        {"ours": partial(runs.growth, rig, few, many)},
        (target,),
        f"One process, a second after it has handled {few:,} and again {many:,}; the second figure is what it has "
        f"then. {_SAME:g} MB count as none: Python's arenas and the C library's come and go.",
        floors=(target,),
    )


def backlog(rig: Rig, size: Size) -> Case:
    """What waits on the broker is the broker's."""
    few, many = size.events(10_000), size.events(1_000_000)
    other = f"with {few:,}"
    target = Target(other, _SAME, at_most=True, difference=True)
    return Case(
        "memory, backlog",
        f"a worker's memory with {many:,} events behind it; against with {few:,}; one round",
        ("mb",),
        {
            "ours": partial(runs.backlog, rig, many, few // 2),
            other: partial(runs.backlog, rig, few, few // 2),
        },
        (target,),
        f"Both after {few // 2:,} events, while they handle more, 50 at once, each for 10 ms. One round, whatever "
        f"`--rounds` says: to publish {many:,} takes a minute or two. {_SAME:g} MB count as unchanged.",
        floors=(target,),
        once=True,
    )


def idle_in_memory(rig: Rig, size: Size) -> Case:
    """Nothing to do, and no broker."""
    return Case(
        "idle in memory",
        "CPU of an in-memory bus that waits",
        ("cpu_percent",),
        {"ours": partial(rig.act, "memory", "idle", seconds=size.seconds(5))},
        (Target("", 0.5, at_most=True),),
        "One subscription, running, nothing published; the process's CPU time, in nanoseconds.",
    )


def in_memory() -> Case:
    """What one subscribes to costs."""
    target = Target("", 5.0, at_most=True)
    return Case(
        "memory in memory",
        "an in-memory bus with 1,000 subscriptions, over the interpreter with asyncio and pydantic and one model built",
        ("over_mb", "over_bare_mb"),
        {"ours": starts.memory},
        (target,),
        "Each in an interpreter of its own. The second figure is over `import pydantic` alone, which loads next to "
        "nothing: most of it is pydantic, which the first class of anybody's would load.",
        floors=(target,),
    )


def imports() -> Case:
    """What a program that uses it waits for."""
    return Case(
        "import",
        "import qt_events; against asyncio, pydantic and as many models",
        ("cpu_ms",),
        {
            "ours": starts.import_ours,
            "as much": starts.import_as_much,
            "ours, with InMemoryEventBus": starts.import_with_bus,
        },
        (Target("as much", 1.25, at_most=True),),
        "CPU of a whole interpreter, from start to end, with Python's own start in both. Three rounds for each of "
        "the others': it is short, and moves with the machine. Celery must not have been imported.",
        floors=(Target("as much", 1.45, at_most=True),),
        times=3,
    )
