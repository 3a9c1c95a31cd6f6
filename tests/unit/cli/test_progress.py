"""Progress of `qt-events dead-letters`: a bar on a terminal, and how far it came at its end."""

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import StringIO

import pytest

from qt_events.cli.dead_letters_output import Skipped
from qt_events.cli.progress import Bar
from qt_events.dead_letters.scan import Progress
from qt_events.errors import BrokerUnreachableError, IncompleteDeadLetterError
from tests.unit.cli.letters import Letters, Run, letter


def test_interrupted_it_says_how_far_it_came(
    letters: Letters, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 130, as a shell says it."""
    letters.error = KeyboardInterrupt()
    assert run("retry", "--all", "-s", "x") == 130
    assert "interrupted: 2 of 5 sent back, the others are as they were" in capsys.readouterr().err


def test_broken_off_it_says_how_far_it_came(
    letters: Letters, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """And why."""
    letters.error = BrokerUnreachableError("no answer")
    assert run("retry", "--all", "-s", "x") == 1
    err = capsys.readouterr().err
    assert "2 of 5 sent back" in err
    assert "no answer" in err


def test_what_could_not_be_sent_back_is_told(
    letters: Letters, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1: a script sees it too."""
    letters.skips = True
    assert run("retry", "--all", "-s", "x") == 1
    told = capsys.readouterr()
    assert told.out == "5 sent back\n"
    assert "1 stay:\n  d1: too large" in told.err


def test_of_many_that_stay_ten_are_named() -> None:
    """The others are counted."""
    skipped = Skipped()
    for number in range(13):
        skipped.add(letter(number), IncompleteDeadLetterError("too large"))
    lines = skipped.lines()
    assert lines[:2] == ["13 stay:", "d0: too large"]
    assert lines[-2:] == ["d9: too large", "and 3 more"]


def test_without_a_terminal_there_is_no_bar(
    letters: Letters, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing on standard error but errors."""
    with Bar("sent back") as bar:
        bar.show(Progress(3, 1))
    assert run("list", "--json") == 0
    assert capsys.readouterr().err == ""


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A real one as standard error; afterwards what was written there."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    shown: list[str] = []
    ours, theirs = os.openpty()
    with (
        os.fdopen(theirs, "w") as file,
        ThreadPoolExecutor(1) as reader,
        monkeypatch.context() as patched,
    ):
        reading = reader.submit(_read_to_its_end, ours)
        patched.setattr("sys.stderr", file)
        yield shown
        file.close()
        shown.append(reading.result())


def _read_to_its_end(terminal: int) -> str:
    with open(terminal, "rb", buffering=0) as file:
        parts = []
        with suppress(OSError):  # how Linux says that the other end is closed
            while part := file.read(4_096):
                parts.append(part)
    return b"".join(parts).decode()


@pytest.mark.parametrize(
    ("args", "bar"),
    [
        (["list"], "looked through .* 2/7 "),
        (["export", "-o", os.devnull], "looked through .* 2/7 "),
        (["show", "d1"], "looked through .* 2/7 "),
        (["retry", "d1"], "sent back .* 2/5 "),
        (["retry", "--all", "-s", "x"], "sent back .* 2/5 "),
        (["discard", "d1"], "discarded .* 2/5 "),
        (["discard", "--all", "-s", "x"], "counted .* 2/5 .*discarded .* 2/5 "),
    ],
)
def test_on_a_terminal_a_bar_says_how_far_it_is_and_of_how_many(
    letters: Letters, run: Run, monkeypatch: pytest.MonkeyPatch, args: list[str], bar: str
) -> None:
    """Looking, counting before the question, doing: nothing of it stays on the screen."""
    monkeypatch.setattr("sys.stdin", StringIO("y\n"))
    with terminal(monkeypatch) as shown:
        assert run(*args) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown[0])
    assert re.search(bar.replace(" .* ", r"[^\n]* "), plain, re.DOTALL), plain
    assert "\x1b[2K" in shown[0]  # the line is cleared


@pytest.mark.parametrize("name", ["retry", "discard"])
def test_looking_for_ids_moves_the_bar_before_anything_is_done(
    letters: Letters, run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Among a hundred thousand that is most of the time."""
    letters.looks_only = True
    with terminal(monkeypatch) as shown:
        assert run(name, "d1") == 0
    assert re.search(r"looked through.* 6/7 ", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown[0]))
