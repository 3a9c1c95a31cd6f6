"""`qt-events dead-letters`: which dead letters it asks for, and what it refuses."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest

from qt_events.cli.options import time_of
from qt_events.dead_letters.filters import DeadLetterFilter
from qt_events.errors import InvalidOptionError
from tests.unit.cli.letters import Letters, Run

DESK = ("desk", None, None)
AB = DeadLetterFilter(event_type="a.*", event_id="e")
ERROR = DeadLetterFilter(exception="*Error")
ELEVEN = DeadLetterFilter(since=datetime(2026, 1, 1, 11, tzinfo=UTC))
AT_H = (None, "amqp://h", None)


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
        (["list", "--type", "a.*", "--event", "e"], ("stream", None, AB)),
        (["export", "--type", "a.*", "--event", "e"], ("stream", None, AB)),
        (
            ["retry", "--all", "-s", "x", "--exception", "*Error"],
            ("retry all", "x", {"where": ERROR}),
        ),
        (
            ["discard", "--all", "-s", "x", "--exception", "*Error", "--yes"],
            ("discard all", "x", {"where": ERROR}),
        ),
        (["list", "--since", "2026-01-01T12:00+01:00"], ("stream", None, ELEVEN)),
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


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "ago"),
    [
        ("2h", timedelta(hours=2)),
        ("90s", timedelta(seconds=90)),
        ("1.5d", timedelta(hours=36)),
        ("1d12h", timedelta(hours=36)),
        ("1w", timedelta(days=7)),
        ("2026-01-01", timedelta(hours=12)),
        ("2026-01-01T12:00+01:00", timedelta(hours=1)),
    ],
)
def test_since_is_a_duration_or_a_time(since: str, ago: timedelta) -> None:
    """A time without a zone is UTC, as times are shown."""
    assert time_of(since, NOON) == NOON - ago


@pytest.mark.parametrize(
    "args",
    [
        ["--since", "yesterday"],
        ["--since", "2"],
        ["--since", "99999999999d"],
        ["--since", ""],
        ["--type", "a..b"],
        ["--type", "a*"],
    ],
)
def test_a_filter_that_means_nothing_is_refused(
    letters: Letters, run: Run, capsys: pytest.CaptureFixture[str], args: list[str]
) -> None:
    """Before anything is read."""
    assert run("list", *args) == 2
    assert letters.calls == []
    assert args[0] in capsys.readouterr().err


@pytest.mark.parametrize("name", ["retry", "discard"])
def test_a_filter_is_for_all_not_for_ids(letters: Letters, run: Run, name: str) -> None:
    """It would be unclear what is about to happen."""
    assert run(name, "d1", "--type", "a.b") == 2
    assert run(name, "--type", "a.b") == 2
    assert letters.calls == []
