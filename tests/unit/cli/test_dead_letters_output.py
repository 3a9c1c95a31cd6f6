"""Dead letters as tables, text and JSON."""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from qt_events.cli.dead_letters_output import (
    Overview,
    as_json,
    print_overview,
    print_record,
)
from qt_events.cli.terminal import dumps
from qt_events.texts import printable
from tests.unit.cli.letters import Letters, Run, letter


def test_list_as_json_is_one_document(
    letters: Letters, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Groups of all, and some of them, the newest first, without bodies."""
    assert run("list", "--json", "--limit", "1") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["total"] == 2
    assert [(group["exception_type"], group["count"]) for group in document["groups"]] == [
        ("OSError", 2)
    ]
    assert [each["id"] for each in document["dead_letters"]] == ["d2"]
    assert "body" not in document["dead_letters"][0]


def test_export_writes_a_line_each(
    letters: Letters, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into a file, which is told; or to standard output, and then nothing else."""
    path = tmp_path / "dead.jsonl"
    assert run("export", "-s", "x", "-o", str(path)) == 0
    assert f"2 written to {path}" in capsys.readouterr().err
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        as_json(each) for each in letters.records
    ]


@pytest.mark.parametrize("oldest", [False, True])
def test_an_overview_holds_only_what_it_shows(oldest: bool) -> None:
    """The newest first, or the oldest; all are counted. A forged time breaks nothing."""
    overview = Overview(2, oldest=oldest)
    for number in (3, 1, 5, 2, 4):
        overview.add(letter(number, body=b"x" * 1000))
    assert [record.id for record in overview.some] == (["d1", "d2"] if oldest else ["d5", "d4"])
    assert all(record.body == b"" for record in overview.some)
    overview.add(letter(6, last_failed=datetime.min.replace(tzinfo=UTC)))
    assert overview.total == 6


def test_nothing_in_a_dead_letter_commands_the_terminal() -> None:
    """Neither escape sequences nor rich's markup, in tables and in text."""
    evil = "\x1b[2J\x07[bold]\u202e\ud800\n"
    assert printable(evil) == "\\x1b[2J\\x07[bold]\\u202e\\ud800\\n"
    names = (
        "id",
        "subscription",
        "event_type",
        "reason",
        "exception_type",
        "message",
        "host",
        "event_id",
    )
    record = letter(
        1, traceback=evil, body=evil.encode(errors="replace"), **dict.fromkeys(names, evil)
    )
    overview = Overview(5, oldest=False)
    overview.add(record)
    console = Console(file=StringIO(), width=1_000)
    print_overview(overview, console=console)
    print_record(record, console=console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[bold]" in shown
    assert not {"\x1b", "\x07", "\u202e", "\ud800"} & set(shown)


@pytest.mark.parametrize("width", [120, 150, 200])
@pytest.mark.parametrize("name", ["s", "shop.orders.settlement.SettlementHandler.on_payment_due"])
@pytest.mark.parametrize("message", ["short", "long " * 10_000, "語" * 10_000])
def test_every_column_is_seen_however_long_an_error_is(width: int, name: str, message: str) -> None:
    """The error is shortened, not the others; the id is whole, to be copied."""
    overview, whole = Overview(5, oldest=False), "01a20ab7-17c7-7423-af5e-51b9bf2c11bc"
    for event_type in ("payment.due", f"payment.{name}"):
        overview.add(letter(1, subscription=name, event_type=event_type, message=message, id=whole))
    console = Console(file=StringIO(), width=width)
    print_overview(overview, console=console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(cell_len(line.rstrip()) <= width for line in lines)
    head = next(line for line in lines if "event type" in line)
    words = "id subscription event type last failed attempts error"
    assert " ".join(head.split()) == words
    for row in (line for line in lines if whole in line):
        assert name[:10] in row
        assert "payment." in row
        assert "2026-01-01 12:00:01Z          3   OSError" in row


def test_on_a_narrow_terminal_no_column_is_lost() -> None:
    """Its lines go on in the next ones."""
    overview = Overview(5, oldest=False)
    overview.add(letter(1, message="long " * 10_000))
    console = Console(file=StringIO(), width=60)
    print_overview(overview, console=console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(text in shown for text in ("d1", "a.b", "12:00:01Z", "attempts", "OSError"))


def test_a_body_that_is_no_text_is_in_base64() -> None:
    """Whatever is in it, the line is ASCII and can be read back."""
    fields = json.loads(
        dumps(as_json(letter(1, body=b"\xff\x00", message="\ud800", properties={"x": b"\xff"})))
    )
    assert (fields["body_base64"], "body" in fields) == ("/wA=", False)
    assert json.loads(dumps(as_json(letter(1, body="Ä".encode()))))["body"] == "Ä"
    assert dumps(as_json(letter(1, body="Ä\u2028".encode()))).isascii()
