"""Cases of an outbox: an event added, on its way, and a backlog."""

from functools import partial

from benchmarks.case import Case, Target
from benchmarks.cases.size import Size
from benchmarks.rig import Rig

_SERVERS = ("SQLite", "PostgreSQL")


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the cases of both databases."""
    return [
        *(add(rig, size, server) for server in range(2)),
        commit_to_handled(rig, size),
        *(relay(rig, size, server) for server in range(2)),
    ]


def add(rig: Rig, size: Size, server: int) -> Case:
    """Measure what an event costs a transaction."""
    count = size.events(10_000)
    # At most 1.3 times as long.
    target = Target("INSERT", 1 / 1.3)
    return Case(
        f"outbox, add, {_SERVERS[server]}",
        f"outbox: an event added to a transaction, {_SERVERS[server]}; against one Core INSERT",
        ("rate",),
        {
            "ours": partial(rig.act, "outbox", "add", server=server, count=count),
            "INSERT": partial(rig.act, "outbox", "insert", server=server, count=count),
        },
        (target,),
        "Rows of the same size, 500 in a transaction whose begin and end are not measured; the "
        "median transaction counts. Ours is encoded and checked within the measured time; on "
        "PostgreSQL it also wakes relays.",
        floors=(target,),
    )


def commit_to_handled(rig: Rig, size: Size) -> Case:
    """Measure how much later an event is handled than one that is published directly."""
    count = size.events(1_000)
    target = Target("publish", 3.0, at_most=True)
    return Case(
        "outbox, commit to handled",
        "outbox: commit to handled, PostgreSQL, relay in the same process; against a publish",
        ("p50_ms", "p99_ms"),
        {
            "ours": partial(rig.act, "outbox", "commit_to_handled", count=count),
            "publish": partial(rig.act, "outbox", "publish_to_handled", count=count),
        },
        (target,),
        "One event at a time. Ours counts from the end of the commit, the other from the call of "
        "publish().",
        floors=(target,),
    )


def relay(rig: Rig, size: Size, server: int) -> Case:
    """Measure how fast a backlog goes."""
    count = size.events(100_000) // 500 * 500
    target = Target("publish", 0.5)
    return Case(
        f"outbox, relay, {_SERVERS[server]}",
        f"outbox: a backlog of {count:,} sent from {_SERVERS[server]}; against direct publishes",
        ("rate", "cpu_us"),
        {
            "ours": partial(rig.act, "outbox", "relay", server=server, count=count),
            "publish": partial(rig.act, "outbox", "publish", count=count),
        },
        (target,),
        "Each event has a key of its own, so that they go side by side; of one key they would go "
        "one a round trip. 1,000 direct publishes are in flight.",
        floors=(target,),
    )
