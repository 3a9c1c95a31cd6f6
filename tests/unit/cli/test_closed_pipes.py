"""A closed pipe: its reader, such as `head`, has enough, and no command makes an error of it."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import IO, Any

import pytest
import typer

from qt_events import QtEventsError, cli
from qt_events.cli import application
from qt_events.cli.terminal import confirm, say, wide_console

Run = Callable[[Callable[[], object]], int]


@pytest.fixture
def closed() -> Iterator[IO[str]]:
    """Pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        yield pipe


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a function as a command and return the exit code."""
    module = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "commands_of_a_test", module)
    found = EntryPoint("command", "commands_of_a_test:command", application.GROUP)
    monkeypatch.setattr(application, "entry_points", lambda group: [found])

    def call(command: Callable[[], object]) -> int:
        module.command = command
        with pytest.raises(SystemExit) as end:
            cli.main(["command"])
        assert isinstance(end.value.code, int)
        return end.value.code

    return call


def write_much() -> None:
    for _ in range(100_000):
        sys.stdout.write("a line\n")


def write_at_once() -> None:
    typer.echo("a line")


def write_a_table() -> None:
    wide_console().print("a line\n" * 10_000)


def write_little() -> None:
    """Leave it to the flush at the end."""
    sys.stdout.write("a line\n")


@pytest.mark.parametrize("command", [write_much, write_at_once, write_a_table, write_little])
def test_a_command_whose_output_nobody_reads_ends_in_silence(
    command: Callable[[], object],
    closed: IO[str],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdout", closed)
    assert run(command) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("is_read", [True, False])
def test_a_closed_socket_of_a_broker_is_an_error(
    is_read: bool,
    closed: IO[str],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is told from a closed pipe by looking at standard output."""

    def publish() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    if not is_read:
        monkeypatch.setattr(sys, "stdout", closed)
    expected = (1, "qt-events: Broken pipe: nothing more was read or written\n")
    assert (run(publish), capfd.readouterr().err) == (expected if is_read else (0, ""))


def test_work_goes_on_when_nobody_reads_what_is_said_of_it(
    closed: IO[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on standard output nor on standard error."""
    done = list[str]()

    def work() -> None:
        say("it begins")
        say("it begins", err=True)
        done.append("work")
        say("it ends")
        raise QtEventsError("then it failed")

    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", closed)
    assert (run(work), done) == (1, ["work"])


def test_a_question_that_nobody_reads_is_answered_with_no(
    closed: IO[str], run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", closed)
    assert run(lambda: confirm("Remove it?")) == 1
    assert capfd.readouterr().err == "qt-events: aborted\n"


def test_an_exit_code_stays(closed: IO[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def differ() -> None:
        sys.stdout.write("a line\n")
        raise typer.Exit(3)

    monkeypatch.setattr(sys, "stdout", closed)
    assert run(differ) == 3


@pytest.mark.parametrize("arguments", [["--help"], ["history", "--help"], ["--version"], []])
def test_the_program_ends_in_silence(arguments: list[str], closed: IO[Any]) -> None:
    """The interpreter, too, which flushes what is left."""
    command = [sys.executable, "-m", "qt_events", *arguments]
    ended = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
