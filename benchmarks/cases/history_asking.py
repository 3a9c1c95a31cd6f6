"""Cases of a history that is asked: a conversation among many events."""

from functools import partial

from benchmarks.case import Case, Target
from benchmarks.cases.size import Size
from benchmarks.rig import Rig


def cases(rig: Rig, size: Size) -> list[Case]:
    """Return the cases of both databases."""
    return [ask(rig, size, "SQLite", 0), ask(rig, size, "PostgreSQL", 1)]


def ask(rig: Rig, size: Size, name: str, server: int) -> Case:
    """Measure a list of 50 events by correlation id, and a trace of 1,000 with 3,000 fates."""
    count = size.events(1_000_000)
    return Case(
        f"history asked, {name}",
        f"history of {count:,} events in {name}: `list` of 50 by correlation id, "
        "`trace` of 1,000; one round",
        ("list_ms", "trace_ms"),
        {"ours": partial(rig.act, "history_asking", "ask", server=server, count=count)},
        (
            Target("", 10, at_most=True, unit="list_ms"),
            Target("", 100, at_most=True, unit="trace_ms"),
        ),
        "The functions that the commands call, without their printing; 3,000 fates belong to the "
        "conversation, whose events are spread over the whole history. Medians of 21 each.",
        once=True,
    )
