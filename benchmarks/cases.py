"""What is measured: a row of the table each."""

from functools import partial

from benchmarks import runs, starts
from benchmarks.rig import Rig
from benchmarks.rounds import Case, Target

_SOLO = ("-P", "solo")
_PREFORK = ("-P", "prefork", "-c", "2", "--prefetch-multiplier", "4")  # as ours: four for each child
_OUR_PREFORK = ("-P", "processes", "-c", "2")


def cases(rig: Rig, scale: float = 1.0) -> list[Case]:
    """All of them; `scale` makes each run longer or shorter."""

    def n(count: int) -> int:
        return max(500, int(count * scale))

    act, consume = partial(partial, rig.act), partial(partial, rig.consume)
    return [
        Case(
            "publish",
            "confirmed publish, one process, 100 in flight",
            ("rate", "cpu_us"),
            {
                "ours": act("ours", "publish", count=n(20_000)),
                "faststream": act("faststream", "publish", count=n(10_000)),
                "celery": act("celery", "publish", count=n(2_000)),
                "raw": act("raw", "publish", count=n(20_000)),
            },
            (Target("faststream", 2.5), Target("celery", 10), Target("raw", 0.6)),
            shows_not="Celery waits for each confirm by itself: it has no other way.",
        ),
        Case(
            "latency",
            "confirmed publish, one at a time",
            ("p50_ms", "p99_ms"),
            {name: act(name, "publish_singly", count=n(2_000)) for name in ("ours", "faststream")},
            (Target("faststream", 1.0, at_most=True),),
        ),
        Case(
            "consume",
            "consume, one worker process, async handler that does nothing",
            ("rate", "cpu_us"),
            {
                "ours": consume("ours", n(20_000)),
                "faststream": consume("faststream", n(10_000)),
                "celery": consume("celery", n(10_000), _SOLO),
                "raw": consume("raw", n(20_000)),
            },
            (Target("faststream", 2.0), Target("celery", 2.0), Target("raw", 0.4)),
            shows_not="Celery's solo pool handles one task at a time, and its handler is a plain function.",
        ),
        Case(
            "watched",
            "the same with task events on, and somebody who reads them as Flower does",
            ("rate", "cpu_us"),
            {
                "ours": consume("ours", n(10_000), ("-E",), meanwhile=runs.watching),
                "faststream": consume("faststream", n(10_000)),
            },
            (Target("faststream", 1.2),),
        ),
        Case(
            "waiting",
            "consume, async handler that waits 10 ms, 200 at a time",
            ("rate",),
            {
                "ours": consume("ours", n(20_000), serve="waits:200"),
                "as if nothing waited": consume("ours", n(20_000)),
                "faststream": consume("faststream", n(10_000), serve="waits:200"),
            },
            (Target("as if nothing waited", 0.9),),
            shows_not="200 at once allow 20,000 a second, more than a worker that does nothing.",
        ),
        Case(
            "prefork",
            "consume, prefork, two children",
            ("rate",),
            {
                "ours": consume("ours", n(8_000), _OUR_PREFORK, "sync"),
                "celery": consume("celery", n(8_000), _PREFORK),
            },
            (Target("celery", 1.0),),
        ),
        Case(
            "end to end",
            "publisher and worker in one process, 1,000 events a second",
            ("p50_ms", "p99_ms"),
            {name: act(name, "end_to_end", rate=1_000, seconds=5) for name in ("ours", "faststream")},
            (Target("faststream", 1.0, at_most=True), Target("", 10.0, at_most=True, unit="p99_ms")),
        ),
        Case(
            "highest rate",
            "publisher and worker in one process, the highest rate with p99 under 50 ms",
            ("rate",),
            {name: partial(runs.highest_rate, rig, name) for name in ("ours", "faststream")},
            (Target("faststream", 2.0),),
            rounds=3,
        ),
        Case(
            "in memory",
            "in memory: made, published, one async handler; against one asyncio.Queue with gather",
            ("rate", "cpu_us"),
            {
                "ours": act("memory", "throughput", count=n(50_000)),
                "home-made": act("memory", "throughput_home_made", count=n(50_000)),
            },
            (Target("home-made", 4.0),),
        ),
        Case(
            "in memory, latency",
            "in memory: from publish to the handler",
            ("p50_us",),
            {
                "ours": act("memory", "latency", count=n(5_000)),
                "home-made": act("memory", "latency_home_made", count=n(5_000)),
            },
            (Target("home-made", 10.0, at_most=True, difference=True),),
        ),
        Case(
            "unrelated",
            "in memory, beside 10,000 subscriptions to other events",
            ("cpu_us",),
            {
                "ours": act("memory", "throughput", count=n(50_000), unrelated=10_000),
                "without them": act("memory", "throughput", count=n(50_000)),
            },
            (Target("without them", 1.1, at_most=True),),
        ),
        Case(
            "bound",
            "what a publish costs its publisher with 100 queues bound; against 1 and 10",
            ("calls",),
            {
                "ours": act("ours", "publish_counted", count=n(500), subscriptions=100),
                "with 10": act("ours", "publish_counted", count=n(500), subscriptions=10),
                "with 1": act("ours", "publish_counted", count=n(500), subscriptions=1),
            },
            (Target("with 1", 1.1, at_most=True), Target("with 10", 1.1, at_most=True)),
            shows_not="Calls of functions, no CPU time: for 100 queues the broker takes so much longer that caches are "
            "cold and fewer publishes go together, which a process's CPU time shows as if it were the publisher's.",
        ),
        Case(
            "fan-out",
            "deliveries of one event to 10 subscriptions in one worker",
            ("rate",),
            {
                name: consume(name, n(2_000), serve="fanout:10", preload={"subscriptions": 10})
                for name in ("ours", "faststream")
            },
            (Target("faststream", 2.0), Target("", 5_000)),
        ),
        Case(
            "idle worker",
            "memory and CPU of a worker that waits, against plain Celery's",
            ("mb", "cpu_percent"),
            {"ours": partial(runs.idle, rig, "ours", ()), "celery": partial(runs.idle, rig, "celery", _SOLO)},
            (Target("celery", 15.0, at_most=True, difference=True), Target("", 0.5, at_most=True, unit="cpu_percent")),
            rounds=3,
        ),
        Case(
            "memory under load",
            "a worker's memory after 100,000 events; against after 10,000",
            ("mb",),
            {"ours": partial(runs.after, rig, 100_000), "after 10,000": partial(runs.after, rig, 10_000)},
            (Target("after 10,000", 2.0, at_most=True, difference=True),),
            rounds=1,
        ),
        Case(
            "memory, backlog",
            "a worker's memory with 1,000,000 events behind it; against with 10,000",
            ("mb",),
            {"ours": partial(runs.before, rig, 1_000_000), "with 10,000": partial(runs.before, rig, 10_000)},
            (Target("with 10,000", 2.0, at_most=True, difference=True),),
            rounds=1,
        ),
        Case(
            "idle in memory",
            "CPU of an in-memory bus that waits",
            ("cpu_percent",),
            {"ours": act("memory", "idle", seconds=5)},
            (Target("", 0.5, at_most=True),),
            rounds=3,
        ),
        Case(
            "memory in memory",
            "an in-memory bus with 1,000 subscriptions, over the interpreter with asyncio and pydantic",
            ("mb",),
            {"ours": starts.memory},
            (Target("", 5.0, at_most=True),),
        ),
        Case(
            "import",
            "import qt_events; against asyncio, pydantic and as many models",
            ("cpu_ms",),
            {"ours": starts.import_ours, "as much": starts.import_as_much},
            (Target("as much", 1.25, at_most=True),),
            rounds=11,
        ),
    ]
