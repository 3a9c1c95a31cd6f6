"""Crew: processes that are started, watched and stopped by name; real ones, small."""

import signal
from collections.abc import Iterator

import pytest

from workers.crew import Crew, told

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
    while "begun" not in crew.output("stubborn"):
        assert crew.status("stubborn") is None
    crew.stop(["stubborn"], 0.1)
    assert crew.status("stubborn") == -signal.SIGKILL


def test_only_what_was_started_is_stopped(crew: Crew) -> None:
    """A fleet may be stopped before all of it has started."""
    crew.stop(["never"], PATIENCE)
    assert (crew.status("never"), crew.output("never")) == (None, "")


def test_programs_are_those_of_this_python(crew: Crew) -> None:
    """`celery` and `qt-events` are found beside it, whether or not the environment is active."""
    crew.start("which", ["sh", "-c", "command -v celery"])
    crew.wait("which", PATIENCE)
    assert crew.status("which") == 0


@pytest.mark.parametrize(("status", "words"), [(1, "ended with status 1"), (-9, "was killed by SIGKILL")])
def test_a_status_is_told_in_words(status: int, words: str) -> None:
    """As waitpid gives it: negative for a signal."""
    assert told(status) == words
