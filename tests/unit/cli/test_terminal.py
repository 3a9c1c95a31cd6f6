"""Errors and names on a terminal: bounded, each on a line, and none of them obeyed."""

import pytest
from rich.console import Console

from qt_events.cli.terminal import complain, say
from qt_events.cli.topology_output import print_inventory
from qt_events.rabbitmq.operating.inventory import Holding, Inventory
from qt_events.texts import LONGEST_LINE

EVIL = "no\x1b[2J [red]such\x07\u202e queue"


def test_an_error_is_short_and_controls_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """The broker's words, ids and exceptions are parts of it."""
    complain(f"{EVIL}\nERROR forged", EVIL)
    say(EVIL + "x" * 100_000)
    written = capsys.readouterr()
    assert written.err.splitlines() == [
        "qt-events: no\\x1b[2J [red]such\\x07\\u202e queue ERROR forged",
        "  no\\x1b[2J [red]such\\x07\\u202e queue",
    ]
    (line,) = written.out.splitlines()
    assert line.isprintable()
    assert len(line) <= LONGEST_LINE + 100


def test_a_queue_of_any_name_is_a_row_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither escape sequences nor rich's markup."""
    console = Console(width=200)
    monkeypatch.setattr("qt_events.cli.topology_output.wide_console", lambda: console)
    print_inventory(Inventory([Holding(EVIL)], 0))
    out = capsys.readouterr().out
    assert "no\\x1b[2J [red]such\\x07\\u202e queue" in out
    assert "\x1b" not in out
