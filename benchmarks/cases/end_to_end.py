"""Cases of publisher and worker in one process."""

from functools import partial

from benchmarks.case import Case, Target
from benchmarks.cases.size import Size
from benchmarks.rig import Rig
from benchmarks.search import HighestRate

_BOTH = ("ours", "faststream")


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the case at a fixed rate, and the search for the highest rate."""
    return [steady(rig, size), highest_rate(rig, size)]


def steady(rig: Rig, size: Size) -> Case:
    """Measure latency far below the highest rate."""
    return Case(
        "end to end",
        "publisher and worker in one process, 1,000 events a second",
        ("p50_ms", "p99_ms"),
        {
            name: partial(rig.act, name, "end_to_end", rate=1_000, seconds=size.seconds(5))
            for name in _BOTH
        },
        (Target("faststream", 1.0, at_most=True), Target("", 10.0, at_most=True, unit="p99_ms")),
        "Events are due at a steady rate, however long the answers take. A latency is from when "
        "an event was due until its handler has it, so a stall counts for all events that it "
        "delayed. The first half second does not count. Prefetch is 100, to which ours "
        "grows. Both publish "
        "and handle on one event loop; ours talks to the broker in its own threads.",
    )


def highest_rate(rig: Rig, size: Size) -> Case:
    """Search for the rate at which latency breaks down."""
    seconds = size.seconds(3)
    return Case(
        "highest rate",
        "publisher and worker in one process, the highest rate with p99 under 50 ms",
        ("rate",),
        {name: HighestRate(rig, name, seconds) for name in _BOTH},
        (Target("faststream", 2.0),),
        f"Measured like the row above, at rates an eighth apart, for {seconds:g} seconds each. A "
        "round searches from the rate that the same contender found in the round before; the "
        "first round starts at 1,000. At each rate the better of two tries counts.",
    )
