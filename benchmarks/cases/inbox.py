"""Cases of an inbox: deliveries whose handlers work in its transaction."""

from functools import partial

from benchmarks.case import Case, Sample, Target
from benchmarks.cases.size import Size
from benchmarks.rig import Rig


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the cases of both databases, with plain handlers and with async ones."""
    return [
        handle(rig, size, name, server, is_async)
        for server, name in enumerate(("SQLite", "PostgreSQL"))
        for is_async in (0, 1)
    ]


def handle(rig: Rig, size: Size, name: str, server: int, is_async: int) -> Case:
    """Compare with the same handler in a session of its own."""
    count, kind = size.events(2_000), "an async" if is_async else "a plain"

    def contender(inbox: int) -> "partial[Sample]":
        how = {"server": server, "is_async": is_async, "inbox": inbox, "count": count}
        return partial(rig.act, "inbox", "handle", **how)

    target = Target("without", 0.8)
    return Case(
        f"inbox, {name}, {kind.rsplit(maxsplit=1)[-1]}",
        f"inbox, {name}: {kind} handler of three statements; against a session alone",
        ("rate", "cpu_us"),
        {"ours": contender(1), "without": contender(0)},
        (target,),
        "In memory, one event at a time: two updates and an insert in a transaction. With the "
        "inbox there is a fourth statement, the note. A handler of one statement compares worse, "
        "for the note costs as much as its own work does. PostgreSQL is on the same machine and "
        "forces nothing to disk, so that its answers come sooner than those of a server.",
        floors=(Target("without", 1.4, at_most=True, unit="cpu_us"),),
    )
