"""Processes: small real ones, started, watched and stopped by name."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.fleet.processes import TAIL_BYTES, TAIL_LINES, Processes, error_line, status_text

PATIENCE = 30.0
WAIT = ["sh", "-c", "echo begun; exec sleep 600"]
STUBBORN = ["sh", "-c", "trap '' TERM; echo begun; while true; do sleep 600; done"]


@pytest.fixture
def processes() -> Iterator[Processes]:
    opened = Processes()
    yield opened
    opened.close()


def test_one_that_ends_by_itself_is_told_with_its_status(processes: Processes) -> None:
    """The end of its output is there too."""
    processes.start("one", ["sh", "-c", "echo first; echo last; exit 3"])
    processes.start("other", WAIT)
    processes.wait("one", PATIENCE)
    assert processes.ended() == {"one": 3}
    assert processes.tail("one") == "first\nlast"
    assert processes.status("other") is None


def test_one_that_was_stopped_has_not_fallen(processes: Processes) -> None:
    """A stop on request is no news."""
    processes.start("one", WAIT)
    processes.stop(["one"], PATIENCE)
    assert processes.status("one") == -signal.SIGTERM
    assert processes.ended() == {}


def test_one_that_does_not_listen_is_killed_after_the_grace(processes: Processes) -> None:
    """No process may outlive the fleet."""
    processes.start("stubborn", STUBBORN)
    while "begun" not in processes.tail("stubborn"):
        assert processes.status("stubborn") is None
    processes.stop(["stubborn"], 0.1)
    assert processes.status("stubborn") == -signal.SIGKILL


def test_only_what_was_started_is_stopped(processes: Processes) -> None:
    """A fleet may be stopped before all of it has started."""
    processes.stop(["never"], PATIENCE)
    assert (processes.status("never"), processes.new_lines("never")) == (None, [])
    assert "never" not in processes


def test_a_line_is_read_once_and_whole(processes: Processes, tmp_path: Path) -> None:
    """A line without an end is read when it has one."""
    go_on = tmp_path / "go_on"
    os.mkfifo(go_on)
    processes.start(
        "one", ["sh", "-c", f"printf 'first\\nsec'; read word < {go_on}; printf 'ond\\nrest'"]
    )
    while not processes.tail("one").endswith("sec"):
        assert processes.status("one") is None
    assert processes.new_lines("one") == ["first"]
    go_on.write_text("on\n")
    processes.wait("one", PATIENCE)
    assert processes.new_lines("one") == ["second"]
    assert processes.new_lines("one") == []


def test_of_much_that_was_printed_only_the_end_is_the_tail(processes: Processes) -> None:
    """The tail has TAIL_LINES lines."""
    processes.start("one", [sys.executable, "-c", f"for n in range({TAIL_BYTES}): print(n)"])
    processes.wait("one", PATIENCE)
    assert processes.tail("one").splitlines() == [
        str(n) for n in range(TAIL_BYTES - TAIL_LINES, TAIL_BYTES)
    ]


SENTENCE = "subscription 'a' is a broadcast: on prefork no process could own its queue"


@pytest.mark.parametrize(
    "last",
    [
        f"qt-events: {SENTENCE}",
        f"workers: {SENTENCE}",
        f"Error: {SENTENCE}\n\n",
        f"qt_events.errors.NotSupportedError: {SENTENCE}",
        f"workers.store.StoreError: {SENTENCE}",
    ],
)
def test_the_last_line_of_a_named_error_is_what_it_says(last: str) -> None:
    """Errors come from our commands, from click, or at the end of a traceback."""
    assert error_line(f"Traceback (most recent call last):\n  raise\n{last}") == SENTENCE


@pytest.mark.parametrize(
    "last", ["", "worker: Warm shutdown", "KeyError: 'a'", "qt-events: gone\nand more"]
)
def test_other_last_lines_are_none(last: str) -> None:
    """A KeyError says nothing without its traceback."""
    assert error_line(f"first\n{last}") is None


@pytest.mark.parametrize(
    ("end", "says"), [("exit 2", "no"), ("exit 0", None), ("kill -9 $$", None)]
)
def test_only_one_that_ended_by_itself_and_badly_complains(
    processes: Processes, end: str, says: str | None
) -> None:
    """The last line of a killed process is no reason."""
    processes.start("one", ["sh", "-c", f"echo 'qt-events: no'; {end}"])
    processes.wait("one", PATIENCE)
    assert processes.error_line("one") == says


def test_programs_are_those_of_this_python(processes: Processes) -> None:
    """`celery` stands beside it, even if the virtual environment is not active."""
    processes.start("which", ["sh", "-c", "command -v celery"])
    processes.wait("which", PATIENCE)
    assert processes.status("which") == 0


@pytest.mark.parametrize(
    ("status", "words"), [(1, "ended with status 1"), (-9, "was killed by SIGKILL")]
)
def test_a_status_is_told_in_words(status: int, words: str) -> None:
    """A signal is a negative status, as waitpid has it."""
    assert status_text(status) == words
