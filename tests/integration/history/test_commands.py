"""`qt-events history`: prune, stats, upgrade, and wrong usage."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from qt_events.cli import main
from qt_events.history import EventFilter, HistoryUnavailableError
from qt_events.history.store import Pruned
from qt_events.history.stores.sql_store import SqlStore
from tests.support.stored import fate, raw

NOW = datetime.now(UTC)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["history", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def filled(url: str) -> str:
    """Return the URL of a history with three old events, two of them prices, and two new ones."""
    with closing(SqlStore(url)) as store:
        old = NOW - timedelta(days=100)
        store.append([raw(str(n), "price.updated", time=old) for n in range(2)])
        store.append([raw("2", time=old), raw("3", time=NOW), raw("4", "price.updated", time=NOW)])
        store.append_fates([fate("0", at=old), fate("3", at=NOW)])
    return url


def ids(url: str) -> list[str]:
    with closing(SqlStore(url)) as store:
        return [each.event.id for each in store.page()]


def test_stats_say_how_large_a_history_is(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stats", "--store", filled) == 0
    text = capsys.readouterr().out
    assert "5 events, 2 fates," in text
    assert "bytes an event" in text
    assert "3  price.updated\n2  trade.executed\n" in text
    assert run("stats", "--store", filled, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["by_type"] == {"price.updated": 3, "trade.executed": 2}
    assert found["bytes_an_event"] == round(found["bytes"] / 5)
    assert found["last"] == NOW.isoformat()


def test_pruning_removes_what_is_old(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["prune", "--store", filled, "--older-than"]
    assert run(*arguments, "90d", "--dry-run") == 0
    assert capsys.readouterr().out.startswith("3 events from before ")
    assert ids(filled) == ["0", "1", "2", "3", "4"]
    assert run(*arguments, "90d", "--type", "trade.#") == 0
    assert capsys.readouterr().out == "removed 1 events and 0 fates\n"
    assert ids(filled) == ["0", "1", "3", "4"]
    assert run(*arguments, "90d") == 0
    assert capsys.readouterr().out == "removed 2 events and 1 fates\n"
    assert ids(filled) == ["3", "4"]


@pytest.mark.parametrize(("failures", "text"), [
    (4, "removed 3 events and 1 fates\n"),
    (1000, "removed 1 events and 1 fates, then it failed\n"),
])  # fmt: skip
def test_pruning_goes_on_when_a_store_was_away_and_says_what_it_did(
    filled: str,
    failures: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A recorder may have the lock of a file for longer than one waits."""
    calls, original = iter(range(2000)), SqlStore.prune

    def prune(store: SqlStore, which: EventFilter) -> Pruned:
        if 0 < next(calls) <= failures:
            raise HistoryUnavailableError("database is locked")
        return original(store, which, limit=1)

    monkeypatch.setattr(SqlStore, "prune", prune)
    monkeypatch.setattr("qt_events.cli.history.PAUSE", 0.0)
    assert run("prune", "--store", filled, "--older-than", "90d") == ("failed" in text)
    captured = capsys.readouterr()
    assert captured.out == text
    assert ("is locked" in captured.err) == ("failed" in text)


@pytest.mark.parametrize(("arguments", "words"), [
    (["prune", "--older-than", "soon", "--store", "sqlite:///x.db"], "--older-than 'soon'"),
    (["prune", "--older-than", "1d", "--store", "sqlite:///x.db", "--type", "a..b"], "a..b"),
    (["stats"], "--store URL"),
    (["stats", "--store", "mysql://qt:hunter2@localhost/x"], "sqlite:///events.db"),
    (["record", "--store", "sqlite:///x.db"], "--url"),
])  # fmt: skip
def test_wrong_usage_says_what_to_write(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("QT_HISTORY", "QT_APP", "QT_BROKER_URL"):
        monkeypatch.delenv(variable, raising=False)
    assert run(*arguments) == 2
    text = capsys.readouterr().err
    assert words in text
    assert "hunter2" not in text


def test_no_history_is_made_by_looking(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stats", "--store", url) == 1
    assert "nothing was ever recorded" in capsys.readouterr().err


def test_an_older_schema_is_brought_up_to_date(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("upgrade", "--store", filled) == 0
    assert "is up to date" in capsys.readouterr().out
    assert len(ids(filled)) == 5
