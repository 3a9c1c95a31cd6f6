"""`qt-events dead-letters`: what it refuses, what it hands on, what it shows."""

import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from qt_events.cli.dead_letters_output import (
    Overview,
    as_json,
    dumps,
    print_overview,
    print_record,
    printable,
)
from qt_events.cli.dead_letters_progress import Bar, Skipped
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.dead_letters.scan import OnScan, Progress
from qt_events.errors import BrokerUnreachableError, IncompleteDeadLetterError, InvalidOptionError
from qt_events.rabbitmq.operating import target as targets
from tests.unit.cli.conftest import Command

DESK = ("desk", None, None)
AT_H = (None, "amqp://h", None)
APP = ("-A", "desk")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def letter(number: int, **fields: Any) -> DeadLetterRecord:
    given: dict[str, Any] = {
        "subscription": "s", "event_id": f"e{number}", "event_type": "a.b", "reason": "exhausted",
        "attempts": 3, "exception_type": "OSError", "message": str(number), "body": b"{}",
        "traceback": "Traceback\n  here", "host": "h", "first_failed": NOON.replace(second=number),
        "last_failed": NOON.replace(second=number), "id": f"d{number}", **fields,
    }  # fmt: skip
    return DeadLetterRecord(**given)


class Letters:
    """Dead letters that answer each call, and record it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.records = [letter(1), letter(2)]
        self.error: BaseException | None = None
        self.skips = self.looks_only = False
        self.answer = 5

    async def stream(
        self, subscription: str | None, *, on_scan: OnScan
    ) -> AsyncIterator[DeadLetterRecord]:
        self.calls.append(("stream", subscription))
        on_scan(2, 7)
        for record in self.records:
            yield record

    async def show(self, id: str, *, subscription: str | None, on_scan: OnScan) -> DeadLetterRecord:
        self.calls.append(("show", id, subscription))
        on_scan(2, 7)
        return self.records[0]

    def _answer(
        self,
        *call: Any,
        on_scan: Any = None,
        on_progress: Any = None,
        on_skipped: Any = None,
        **options: Any,
    ) -> int:
        self.calls.append((*call, {name: value for name, value in options.items() if value}))
        if on_scan:
            on_scan(6, 7)
            if self.looks_only:
                return 0
        if on_progress:
            on_progress(Progress(5, 2))
        if self.skips:
            on_skipped(self.records[0], IncompleteDeadLetterError("too large"))
        if self.error:
            raise self.error
        return self.answer

    async def retry_many(self, ids: list[str], **options: Any) -> int:
        return self._answer("retry", *ids, **options)

    async def retry_all(self, subscription: str, **options: Any) -> int:
        return self._answer("retry all", subscription, **options)

    async def discard_many(self, ids: list[str], **options: Any) -> int:
        return self._answer("discard", *ids, **options)

    async def discard_all(self, subscription: str, **options: Any) -> int:
        return self._answer("discard all", subscription, **options)


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    """Dead letters of whatever place is named; that is recorded first of all."""
    letters = Letters()

    def find_target(app: str | None, url: str | None, prefix: str | None) -> Any:
        letters.calls.append((app, url, prefix))

        def dead_letters(subscription: str | None, management_url: str | None) -> Letters:
            letters.calls.append(("of", subscription, management_url))
            return letters

        bus = SimpleNamespace(close=lambda: None)
        return SimpleNamespace(dead_letters=dead_letters, bus=bus)

    monkeypatch.setattr(targets, "find_target", find_target)
    return letters


Run = Callable[..., int]


@pytest.fixture
def run(command: Command) -> Run:
    """Run `qt-events dead-letters`; of an app, for one has to be named."""
    return lambda *args, place=APP: command("dead-letters", *args, *place)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (["-A", "desk"], [DESK, ("of", None, None)]),
        (["--url", "amqp://h", "--prefix", "p"], [(None, "amqp://h", "p"), ("of", None, None)]),
        (["-A", "desk", "--url", "amqp://h"], [("desk", "amqp://h", None), ("of", None, None)]),
        (["--url", "amqp://h", "-s", "x"], [AT_H, ("of", "x", None)]),
        (["-A", "desk", "--management-url", "http://h"], [DESK, ("of", None, "http://h")]),
    ],
)
@pytest.mark.parametrize(
    "words", [["list"], ["show", "d1"], ["export"], ["retry", "d1"], ["discard", "d1"]]
)
def test_options_become_a_place(
    letters: Letters, run: Run, words: list[str], place: list[str], expected: list[Any]
) -> None:
    """The same ones for every command."""
    assert run(*words, place=place) == 0
    assert letters.calls[:2] == expected


@pytest.mark.parametrize(
    ("args", "call"),
    [
        (["list"], ("stream", None)),
        (["list", "-s", "x"], ("stream", "x")),
        (["show", "d1", "-s", "x"], ("show", "d1", "x")),
        (["retry", "d1", "d2"], ("retry", "d1", "d2", {})),
        (
            ["retry", "--all", "-s", "x", "--rate", "5", "--dry-run"],
            ("retry all", "x", {"rate": 5.0, "dry_run": True}),
        ),
        (["discard", "d1", "-s", "x"], ("discard", "d1", {"subscription": "x"})),
        (["discard", "--all", "-s", "x", "--yes"], ("discard all", "x", {})),
        (["discard", "--all", "-s", "x", "--dry-run"], ("discard all", "x", {"dry_run": True})),
        (["export", "-s", "x"], ("stream", "x")),
    ],
)
def test_options_become_a_call(letters: Letters, run: Run, args: list[str], call: Any) -> None:
    """One, with what was given and nothing else."""
    assert run(*args) == 0
    assert letters.calls[2:] == [call]


@pytest.mark.parametrize("name", ["retry", "discard"])
@pytest.mark.parametrize("args", [[], ["--all"], ["d1", "--all", "-s", "x"]])
def test_which_ones_has_to_be_said_once(
    letters: Letters, run: Run, name: str, args: list[str]
) -> None:
    """By ids, or all of one subscription: wrong usage otherwise, and nothing is looked at."""
    assert run(name, *args) == 2
    assert letters.calls == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_discarding_all_asks_first(  # noqa: PLR0917
    letters: Letters,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    code: int,
) -> None:
    """With the number, and no more are removed than it says; no answer is no."""
    monkeypatch.setattr("sys.stdin", StringIO(answer))
    assert run("discard", "--all", "-s", "x") == code
    assert "Remove 5 dead letters of 'x' for good?" in capsys.readouterr().out
    assert (("discard all", "x", {"limit": 5}) in letters.calls) is (code == 0)


def test_where_there_is_nothing_to_discard_a_yes_removes_nothing(
    letters: Letters, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What came after the question was not asked about."""
    letters.answer = 0
    monkeypatch.setattr("sys.stdin", StringIO("y\n"))
    assert run("discard", "--all", "-s", "x") == 0
    assert [call for call in letters.calls if call[0] == "discard all"] == [
        ("discard all", "x", {"dry_run": True})
    ]
    assert "0 discarded" in capsys.readouterr().out


def test_a_wrong_app_url_or_rate_is_wrong_usage(
    letters: Letters, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, with what was wrong."""
    letters.error = InvalidOptionError("rate=0.0 must be")
    assert run("retry", "--all", "-s", "x", "--rate", "0") == 2
    assert "rate=0.0 must be" in capsys.readouterr().err


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


def test_a_body_that_is_no_text_is_in_base64() -> None:
    """Whatever is in it, the line is ASCII and can be read back."""
    fields = json.loads(
        dumps(as_json(letter(1, body=b"\xff\x00", message="\ud800", properties={"x": b"\xff"})))
    )
    assert (fields["body_base64"], "body" in fields) == ("/wA=", False)
    assert json.loads(dumps(as_json(letter(1, body="Ä".encode()))))["body"] == "Ä"
    assert dumps(as_json(letter(1, body="Ä\u2028".encode()))).isascii()
