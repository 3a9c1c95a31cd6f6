"""Cases of memory, idle CPU and imports."""

from functools import partial

from benchmarks import runs, starts
from benchmarks.case import Case, Target
from benchmarks.cases.consuming import SOLO
from benchmarks.cases.size import Size
from benchmarks.rig import Rig

# MB that count as unchanged, because allocators keep arenas.
_SAME = 2.0


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the cases of what qt_events costs while it does nothing, or besides its work."""
    return [
        idle_worker(rig, size),
        growth(rig, size),
        backlog(rig, size),
        recorder(rig, size),
        export(rig, size),
        idle_in_memory(rig, size),
        in_memory(),
        imports(),
    ]


def idle_worker(rig: Rig, size: Size) -> Case:
    """Measure a worker that has nothing to do."""
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
        f"Measured for {seconds:g} seconds, after 500 events and one second. CPU is what the "
        "kernel's scheduler counts, in nanoseconds. Celery runs its solo pool without remote "
        "control.",
        floors=(Target("celery", 5.0, at_most=True, difference=True),),
    )


def growth(rig: Rig, size: Size) -> Case:
    """Measure that memory does not grow."""
    few, many = size.events(10_000), size.events(100_000)
    target = Target("", _SAME, at_most=True)
    return Case(
        "memory under load",
        f"what a worker's memory grows by from {few:,} events to {many:,}",
        ("grown_mb", "mb"),
        {"ours": partial(runs.growth, rig, few, many)},
        (target,),
        f"One process, measured one second after it has handled {few:,} events and again after "
        f"{many:,}. The second figure is its memory at the end. Up to {_SAME:g} MB count as no "
        "growth, because the arenas of Python and of the C library come and go.",
        floors=(target,),
    )


def backlog(rig: Rig, size: Size) -> Case:
    """Measure that events that wait on the broker take no memory of a worker."""
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
        f"Both are measured after {few // 2:,} events, while they handle more, 50 at once, each "
        f"for 10 ms. There is one round, whatever `--rounds` says, because publishing {many:,} "
        f"events takes a minute or two. Up to {_SAME:g} MB count as unchanged.",
        floors=(target,),
        once=True,
    )


def recorder(rig: Rig, size: Size) -> Case:
    """Measure that a recorder's memory does not grow."""
    few, many = size.events(50_000), size.events(1_000_000)
    target = Target("", _SAME, at_most=True)
    return Case(
        "memory, recorder",
        f"what the peak of a recorder's memory grows by from {few:,} events to {many:,}; one round",
        ("grown_mb", "peak_mb"),
        {"ours": partial(runs.recorder_growth, rig, few, many)},
        (target,),
        "One worker that records into SQLite while the events are published. A peak is VmHWM, "
        "which the kernel keeps. The second figure is that at the end. Up to "
        f"{_SAME:g} MB count as no growth.",
        floors=(target,),
        once=True,
    )


def export(rig: Rig, size: Size) -> Case:
    """Measure that an export's memory does not depend on the number of events."""
    few, many = size.events(10_000), size.events(1_000_000)
    target = Target(f"of {few:,}", _SAME, at_most=True, difference=True)
    return Case(
        "memory, export",
        f"peak memory of an export of {many:,} events; against one of {few:,}; one round",
        ("peak_mb",),
        {
            "ours": partial(rig.act, "exporting", "export", count=many),
            target.over: partial(rig.act, "exporting", "export", count=few),
        },
        (target,),
        "`qt-events history export` of a history on SQLite that another process has filled, to "
        f"/dev/null. The peak is VmHWM of its process. Up to {_SAME:g} MB count as unchanged.",
        floors=(target,),
        once=True,
    )


def idle_in_memory(rig: Rig, size: Size) -> Case:
    """Measure an in-memory bus that has nothing to do."""
    return Case(
        "idle in memory",
        "CPU of an in-memory bus that waits",
        ("cpu_percent",),
        {"ours": partial(rig.act, "memory", "idle", seconds=size.seconds(5))},
        (Target("", 0.5, at_most=True),),
        "One subscription, running, with nothing published. CPU is the process's CPU time, "
        "counted in nanoseconds.",
    )


def in_memory() -> Case:
    """Measure the memory of many subscriptions."""
    target = Target("", 5.0, at_most=True)
    return Case(
        "memory in memory",
        "an in-memory bus with 1,000 subscriptions, over the interpreter with asyncio and pydantic "
        "and one model built",
        ("over_mb", "over_bare_mb"),
        {"ours": starts.memory},
        (target,),
        "Each figure comes from a new interpreter. The second one is over `import pydantic` "
        "alone, which loads next to nothing: most of the difference is pydantic, which the first "
        "model of any program loads.",
        floors=(target,),
    )


def imports() -> Case:
    """Measure the import that every program which uses qt_events waits for."""
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
        "CPU of a whole interpreter, from start to end; both include Python's own start. There "
        "are three rounds for each round of the other rows, because the run is short and varies "
        "with the machine. Celery must not have been imported.",
        floors=(Target("as much", 1.45, at_most=True),),
        times=3,
    )
