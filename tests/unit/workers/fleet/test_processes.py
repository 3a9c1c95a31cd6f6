"""Crew: processes that are started, watched and stopped by name; real ones, small."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.fleet.processes import FAR, TAIL, Crew, complaint, told

PATIENCE = 30.0
WAIT = ["sh", "-c", "echo begun; exec sleep 600"]
STUBBORN = ["sh", "-c", "trap '' TERM; echo begun; while true; do sleep 600; done"]


@pytest.fixture
def crew() -> Iterator[Crew]:
    opened = Crew()
    yield opened
    opened.close()


def test_one_that_ends_by_itself_is_told_with_its_status(crew: Crew) -> None:
    """And with its last words."""
    crew.start("one", ["sh", "-c", "echo first; echo last; exit 3"])
    crew.start("other", WAIT)
    crew.wait("one", PATIENCE)
    assert crew.ended() == {"one": 3}
    assert crew.tail("one") == "first\nlast"
    assert crew.status("other") is None


def test_one_that_was_stopped_has_not_fallen(crew: Crew) -> None:
    """Asked to end, it is nobody's news."""
    crew.start("one", WAIT)
    crew.stop(["one"], PATIENCE)
    assert crew.status("one") == -signal.SIGTERM
    assert crew.ended() == {}


def test_one_that_does_not_listen_is_killed_after_the_grace(crew: Crew) -> None:
    """It must not outlive the fleet."""
    crew.start("stubborn", STUBBORN)
    while "begun" not in crew.tail("stubborn"):
        assert crew.status("stubborn") is None
    crew.stop(["stubborn"], 0.1)
    assert crew.status("stubborn") == -signal.SIGKILL


def test_only_what_was_started_is_stopped(crew: Crew) -> None:
    """A fleet may be stopped before all of it has started."""
    crew.stop(["never"], PATIENCE)
    assert (crew.status("never"), crew.new_lines("never")) == (None, [])
    assert "never" not in crew


def test_a_line_is_read_once_and_whole(crew: Crew, tmp_path: Path) -> None:
    """What has no end yet is read when it has."""
    go_on = tmp_path / "go_on"
    os.mkfifo(go_on)
    crew.start("one", ["sh", "-c", f"printf 'first\\nsec'; read word < {go_on}; printf 'ond\\nrest'"])
    while not crew.tail("one").endswith("sec"):
        assert crew.status("one") is None
    assert crew.new_lines("one") == ["first"]
    go_on.write_text("on\n")
    crew.wait("one", PATIENCE)
    assert crew.new_lines("one") == ["second"]
    assert crew.new_lines("one") == []


def test_of_much_that_was_printed_only_the_end_is_the_tail(crew: Crew) -> None:
    """So many lines of it."""
    crew.start("one", [sys.executable, "-c", f"for n in range({FAR}): print(n)"])
    crew.wait("one", PATIENCE)
    assert crew.tail("one").splitlines() == [str(n) for n in range(FAR - TAIL, FAR)]


SENTENCE = "subscription 'a' is a broadcast: on prefork no process could own its queue"


@pytest.mark.parametrize(
    "last",
    [
        f"qt-events: {SENTENCE}",
        f"Error: {SENTENCE}\n\n",
        f"qt_events.errors.NotSupportedError: {SENTENCE}",
        f"workers.store.StoreError: {SENTENCE}",
    ],
)
def test_the_last_line_of_a_named_error_is_what_it_says(last: str) -> None:
    """Of `qt-events`, of click for wrong usage, or at the end of a traceback."""
    assert complaint(f"Traceback (most recent call last):\n  raise\n{last}") == SENTENCE


@pytest.mark.parametrize("last", ["", "worker: Warm shutdown", "KeyError: 'a'", "qt-events: gone\nand more"])
def test_other_last_lines_are_none(last: str) -> None:
    """A KeyError says nothing without its traceback."""
    assert complaint(f"first\n{last}") is None


@pytest.mark.parametrize(("end", "says"), [("exit 2", "no"), ("exit 0", None), ("kill -9 $$", None)])
def test_only_one_that_ended_by_itself_and_badly_complains(crew: Crew, end: str, says: str | None) -> None:
    """What a killed one said last was no reason."""
    crew.start("one", ["sh", "-c", f"echo 'qt-events: no'; {end}"])
    crew.wait("one", PATIENCE)
    assert crew.complaint("one") == says


def test_programs_are_those_of_this_python(crew: Crew) -> None:
    """`celery` and `qt-events` are found beside it, whether or not the environment is active."""
    crew.start("which", ["sh", "-c", "command -v celery"])
    crew.wait("which", PATIENCE)
    assert crew.status("which") == 0


@pytest.mark.parametrize(("status", "words"), [(1, "ended with status 1"), (-9, "was killed by SIGKILL")])
def test_a_status_is_told_in_words(status: int, words: str) -> None:
    """As waitpid gives it: negative for a signal."""
    assert told(status) == words
