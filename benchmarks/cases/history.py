"""Cases of a history: events appended to a database."""

from functools import partial

from benchmarks.case import Case, Target
from benchmarks.cases.size import Size
from benchmarks.rig import Rig


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the cases of both databases."""
    return [append(rig, size, "SQLite", 0), append(rig, size, "PostgreSQL", 1)]


def append(rig: Rig, size: Size, name: str, server: int) -> Case:
    """Compare with the driver's own executemany of the same rows."""
    count = size.events(20_000)
    contenders = {"ours": "append", "executemany": "append_bare"}
    if server:
        contenders["COPY"] = "append_copied"
    target = Target("executemany", 0.5)
    return Case(
        f"history, {name}",
        f"history: events appended to {name}, 500 a transaction; against bare executemany",
        ("rate",),
        {
            contender: partial(rig.act, "history", action, server=server, count=count)
            for contender, action in contenders.items()
        },
        (target,),
        "Through the store that `History(url)` has, into the same table with the same indexes. "
        "Events are made beforehand. Unfair to ours: the others do not look whether an event is "
        "there, and COPY cannot.",
        floors=(target,),
    )
