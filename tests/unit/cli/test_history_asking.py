"""`qt-events history list | show | trace | export`, on a file of SQLite."""

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qt_events.history.stores.sql_store import SqlStore
from tests.support import conversations
from tests.support.conversations import ORDER, QUOTE, SIGNAL, TRADE
from tests.support.stored import fate, many, raw
from tests.unit.cli.commands import Command

MEASURED = """
import contextlib
from qt_events.cli import main
with contextlib.suppress(SystemExit):
    main(["history", *__import__("sys").argv[1:]])
print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
HOSTILE = "\x1b[31mred\n\u202e"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> str:
    """Return a history with a conversation, which is asked unless --store says another."""
    url = f"sqlite:///{tmp_path}/events.db"
    with closing(SqlStore(url)) as store:
        store.append([*conversations.events(), *many(3), raw(HOSTILE, source=HOSTILE)])
        store.append_fates([*conversations.fates(), fate(HOSTILE, HOSTILE, event_source=HOSTILE)])
    monkeypatch.setenv("QT_HISTORY", url)
    return url


@pytest.fixture
def lines(url: str, command: Command, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run `qt-events history` and return the lines of standard output."""

    def run(*args: str, code: int = 0) -> list[str]:
        assert command("history", *args) == code
        out = capfd.readouterr().out
        assert "\x1b" not in out
        assert "\u202e" not in out
        return out.splitlines()

    return run


@pytest.fixture
def failing(url: str, command: Command, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run `qt-events history` and return what it complains of."""

    def run(*args: str, code: int) -> str:
        assert command("history", *args) == code
        return capfd.readouterr().err

    return run


def ids(lines: list[str]) -> list[str]:
    return [json.loads(line)["id"] for line in lines]


def test_list_finds_events_by_all_that_is_known_of_them(lines: Any) -> None:
    for args, found in (
        (("--type", "order.#"), [ORDER]),
        (("--dead",), [ORDER]),
        (("--retrying",), [TRADE]),
        (("--unhandled-by", "audit", "--correlation", QUOTE), [QUOTE, ORDER, SIGNAL, TRADE]),
        (("--where", "size>9", "--where", "size<11", "--limit", "1"), [QUOTE]),
        (("--where", "size>10"), []),
        (("--until", "2026-11-30T11:30"), [TRADE]),
        (("--since", "2026-11-30T12:00:03Z", "--source", "tests"), [ORDER]),
        (("--id", SIGNAL), [SIGNAL]),
        (("--causation", QUOTE), [SIGNAL]),
        (("--after", "4", "--limit", "2"), ["0", "1"]),
    ):
        assert ids(lines("list", "--json", *args)) == found, args


def test_list_shows_fates_and_where_to_go_on(lines: Any) -> None:
    shown = lines("list", "--limit", "2")
    assert shown[-1] == "2 events, others follow: --after 2"
    (order,) = [each for each in shown if ORDER in each]
    assert order.split() == [
        "2026-11-30", "12:00:03", "order.placed", "order-1", "tests", "1", "dead,", "1", "done",
    ]  # fmt: skip
    assert any("unknown" in each for each in lines("list"))


def test_list_begins_with_the_newest_and_goes_on_with_older_ones(lines: Any) -> None:
    newest = ids(lines("list", "--json", "--newest", "--limit", "3"))
    assert newest == list(reversed(ids(lines("list", "--json"))))[:3]
    cursor = lines("list", "--newest", "--limit", "3")[-1].rpartition(" ")[2]
    older = ids(lines("list", "--json", "--newest", "--after", cursor))
    assert newest + older == list(reversed(ids(lines("list", "--json"))))


def test_a_cursor_that_no_event_has_is_one_behind_all(lines: Any) -> None:
    assert lines("list", "--after", str(2**70)) == ["0 events"]
    assert lines("list", "--newest", "--after", str(2**70)) == lines("list", "--newest")


def test_list_prints_each_page_before_it_asks_for_the_next(
    lines: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It holds a page, whatever its limit, and one head stands above all."""
    monkeypatch.setattr("qt_events.history.store.PAGE_BYTES", 1)
    printed: list[str] = []
    page = SqlStore.page

    def watched(self: SqlStore, *args: Any, **options: Any) -> Any:
        printed.append(capfd.readouterr().out)
        return page(self, *args, **options)

    monkeypatch.setattr(SqlStore, "page", watched)
    rest = lines("list", "--limit", "3")
    for number, shown in enumerate(printed):
        known = [each for each in (QUOTE, ORDER, SIGNAL) if each in shown]
        assert known == [QUOTE, ORDER, SIGNAL][:number][-1:]
    assert sum("time (UTC)" in each for each in [*printed, *rest]) == 1
    assert rest[-1] == "3 events, others follow: --after 3"


def test_show_answers_in_words(lines: Any) -> None:
    shown = lines("show", "trade-")
    assert shown[0].startswith("handled by 2 of 4; risk_guard ")
    assert shown[-3:] == ["{", '  "size": 10', "}"]
    found = json.loads("\n".join(lines("show", TRADE, "--json")))
    assert found["summary"] == shown[0]
    assert len(found["fates"]) == 5


def test_trace_draws_the_conversation(lines: Any) -> None:
    shown = lines("trace", SIGNAL)
    assert shown[0].startswith("quote.received  quote-1  ")
    assert shown[-1].startswith("4 events by causation; times are UTC")
    assert lines("trace", SIGNAL, "--mermaid")[0] == "flowchart TD"
    found = json.loads("\n".join(lines("trace", SIGNAL, "--json")))
    steps = found["steps"]
    assert [each["id"] for each in steps] == [QUOTE, SIGNAL, ORDER, TRADE]
    assert [each["cause"] for each in steps] == [None, 0, 1, 2]


def test_export_writes_bodies_as_on_the_wire(lines: Any, tmp_path: Path) -> None:
    file = tmp_path / "all.ndjson"
    assert lines("export", "--output", str(file)) == []
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [each["body"] for each in rows[:4]] == [
        each.body.decode() for each in conversations.events()
    ]
    assert ids(lines("export")) == [each["id"] for each in rows]
    table = list(csv.DictReader(io.StringIO("\n".join(lines("export", "--format", "csv")))))
    assert [each["id"] for each in table[:4]] == [each["id"] for each in rows[:4]]
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize("action", ["list", "show", "trace", "export"])
def test_a_hostile_event_controls_no_terminal(lines: Any, action: str) -> None:
    which = ["--source", HOSTILE] if action in {"list", "export"} else [HOSTILE]
    assert lines(action, *which)
    if action == "export":
        assert lines(action, "--format", "csv", *which)


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("list", "--where", "size>"), 2, "^"),
        (("list", "--type", "a..b"), 2, "--type"),
        (("export", "--until", "soon"), 2, "--until 'soon' is no time"),
        (("list", "--since", "1h", "--until", "2h"), 2, "is before since"),
        (("show", "nowhere"), 1, "history list"),
        (("trace", ""), 1, "give more of it"),
        (("list", "--store", "sqlite:////nowhere/x.db"), 1, "nothing was ever recorded"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(failing: Any, args: Any, code: int, text: str) -> None:
    assert text in failing(*args, code=code)


def test_an_interrupted_export_leaves_no_file(
    lines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qt_events.cli.history_output.as_json", interrupt)
    assert lines("export", "-o", str(tmp_path / "part"), code=130) == []
    assert [each.name for each in tmp_path.iterdir() if "part" in each.name] == []


def test_an_export_to_where_none_can_be_written_is_an_error_with_its_name(
    failing: Any, tmp_path: Path
) -> None:
    """A full disk, a folder that is not there, and a folder."""
    assert "No space left on device" in failing("export", "-o", "/dev/full", code=1)
    missing = str(tmp_path / "no" / "day.ndjson")
    assert f"{tmp_path}/no/" in failing("export", "-o", missing, code=1)
    assert "is a directory" in failing("export", "-o", str(tmp_path), code=2)
    assert [each.name for each in tmp_path.iterdir() if "day" in each.name] == []


@pytest.mark.parametrize("action", ["list", "export"])
def test_a_full_disk_behind_standard_output_has_a_name(url: str, action: str) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "qt_events", "history", action, "--store", url]
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("qt-events: No space left on device")
    assert len(ended.stderr.splitlines()) == 1


def test_a_link_to_a_file_stays_a_link(lines: Any, tmp_path: Path) -> None:
    link, file = tmp_path / "latest", tmp_path / "there" / "day.ndjson"
    file.parent.mkdir()
    link.symlink_to(file)
    for _ in range(2):
        lines("export", "-o", str(link))
        assert link.is_symlink()
        assert len(file.read_text().splitlines()) == 8
        # Payloads are for its owner alone.
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "args", [("export",), ("list", "--limit", "9999"), ("stats",), ("show", "quote-1")]
)
def test_a_closed_pipe_ends_in_silence(url: str, args: tuple[str, ...]) -> None:
    """Its reader has enough, and that is no error."""
    with closing(SqlStore(url)) as store:
        store.append(many(2_000, first=10))
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "qt_events", "history", *args, "--store", url]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_an_export_of_any_length_takes_no_more_memory(tmp_path: Path) -> None:
    """50,000 events with bodies of 1,000 bytes: 50 MB, if the command held them."""
    total, few, body = 50_000, 5_000, b"x" * 1_000
    url = f"sqlite:///{tmp_path}/many.db"
    with closing(SqlStore(url)) as store:
        for begin in range(0, total, few):
            store.append([replace(each, body=body) for each in many(few, first=begin)])
    highest = []
    for after in (total - few, 0):
        arguments = ["export", "--store", url, "--after", str(after), "-o", f"{tmp_path}/{after}"]
        # VmHWM, not ru_maxrss, which has the parent's memory of before the start in it.
        status = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments], check=True, capture_output=True, text=True
        ).stdout
        highest.append(int(status.split()[-2]))
        assert len((tmp_path / str(after)).read_text().splitlines()) == total - after
    assert highest[1] < highest[0] + 20_000
