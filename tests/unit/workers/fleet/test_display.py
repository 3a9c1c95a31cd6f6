"""Display of `python -m workers fleet`."""

import io

import pytest
from rich.console import Console

from qt_events.rabbitmq.operating.gauges import QueueGauge, WorkerGauge
from workers.fleet.display import LINE_EVERY, FleetDisplay, LiveFleetDisplay, frame, line
from workers.fleet.gauges import Reading

READING = Reading(
    workers={"worker-1": "online", "worker-2": "was killed by SIGKILL", "worker-3": "starting"},
    gauges={
        "worker-1": WorkerGauge(11, 1234, 2, 50.4, 0.0),
        "worker-2": WorkerGauge(12, 99, 1, 70.0, 0.0),
    },
    queues=[QueueGauge("executor.on_orders", 7, 3, 0, 1.5, 0.5), QueueGauge("b"), QueueGauge("c")],
    dead_letters=1,
    feed="2007-05-29  day 100/1008  equity 1",
)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, height=40, force_terminal=False)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_names_every_worker_and_its_state(console: Console) -> None:
    """Figures of a worker are there once it has a heartbeat."""
    console.print(frame(READING, "title", 2))
    text = shown(console)
    for words in (
        "worker-1 11 online 1,234 50 2",
        "worker-2 12 was killed by SIGKILL 99 1",
        "worker-3 starting",
    ):
        assert words in " ".join(text.split())
    assert "executor.on_orders 7 3 0 1.5 0.5" in " ".join(text.split())
    assert "and 1 that are less busy" in text
    assert "day 100/1008" in text
    assert "dead letters 1" in text


def test_a_line_sums_up(console: Console) -> None:
    """A dead worker's last rate is not counted."""
    assert line(READING) == "workers 1/3  handled 50/s  waiting 7  unacked 3  dead letters 1"


def test_without_a_terminal_there_are_plain_lines(console: Console) -> None:
    """News come at once, each line of the feed once, and every tenth reading as a sum."""
    with FleetDisplay(console) as display:
        display.print("worker-1: celery (pid 1)")
        for _ in range(LINE_EVERY):
            display.show(READING)
    assert shown(console).splitlines() == [
        "worker-1: celery (pid 1)",
        f"feed: {READING.feed}",
        line(READING),
    ]
    assert "\x1b" not in shown(console)


def test_on_a_terminal_the_table_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """News stand above the table."""
    # On one that cannot move its cursor rich draws nothing again.
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), width=100, height=40, force_terminal=True)
    with LiveFleetDisplay(console, "Quantum Trader") as display:
        display.print("worker-2 was killed")
        display.show(READING)
    assert "Quantum Trader" in shown(console)
    assert "worker-2 was killed" in shown(console)
