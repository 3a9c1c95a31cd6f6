"""Cases of a history that is recorded from a broker, and replayed to it."""

from functools import partial

from benchmarks import runs
from benchmarks.case import Case, Target
from benchmarks.cases.size import Size
from benchmarks.rig import Rig

_COUNTED = 100  # publishes; few are enough, because their bytecodes hardly vary
_STEADY = 1_000  # events a second, which leave the machine time for the recorder and the broker


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the cases of a publisher, of the recorder, and of a replay."""
    return [publish(rig, size), recorder(rig, size), replay(rig, size)]


def publish(rig: Rig, size: Size) -> Case:
    """Measure that recording costs a publisher nothing."""
    how = (rig, size.events(10_000), _STEADY, _COUNTED)
    targets = tuple(
        Target("without", 1.05, at_most=True, unit=unit) for unit in ("cpu_us", "opcodes")
    )
    return Case(
        "history, publish",
        "confirmed publish with a history attached and its recorder running; against without",
        ("cpu_us", "opcodes"),
        {
            "ours": partial(runs.publish_recorded, *how),
            "without": partial(runs.publish, *how),
        },
        targets,
        f"CPU is the publisher's process alone, at {_STEADY:,} events a second, 100 at once: at "
        "full speed it would depend on who has the cores. The recorder is a worker of its own. "
        "`without` publishes beside a worker too, a no-op consumer of its one subscription: any "
        "process that shares the two cores costs a publisher up to a tenth more, with the same "
        "bytecodes and as many calls to the kernel. Ours has that subscription beside the "
        "history. Bytecodes are counted as in `bound`.",
        floors=targets[1:],
    )


def recorder(rig: Rig, size: Size) -> Case:
    """Measure a worker that records what waits on its queue."""
    count, target = size.events(20_000), Target("no-op", 0.5)
    return Case(
        "history, recorder",
        "history: recorded from a queue into SQLite, 500 a transaction; against a no-op consumer",
        ("rate", "cpu_us"),
        {
            "ours": partial(runs.recorder, rig, count),
            "no-op": partial(rig.consume, "ours", count),
        },
        (target,),
        "Both are a worker process with the asyncio pool and default settings, on a quorum queue. "
        "An event of the recorder counts when its batch is committed. `no-op` is ours of "
        "`consume`, one by one.",
        floors=(target,),
    )


def replay(rig: Rig, size: Size) -> Case:
    """Measure a replay to a subscription that nobody serves."""
    count, target = size.events(20_000), Target("publish", 0.7)
    return Case(
        "history, replay",
        "history: replayed from SQLite to one subscription; against a publisher of new events",
        ("rate", "cpu_us"),
        {
            "ours": partial(rig.act, "replaying", "replay", count=count),
            "publish": partial(rig.act, "ours", "publish", count=count),
        },
        (target,),
        "`publish` is ours of the row `publish`, 100 in flight. A replay reads from the history, "
        "has two times 250 in flight, and keeps its bookmark after each 250.",
        floors=(target,),
    )
