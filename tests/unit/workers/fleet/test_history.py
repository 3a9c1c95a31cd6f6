"""Where a fleet's history is kept, and the command that it is asked with."""

from contextlib import closing
from pathlib import Path

import pytest

from qt_events.history import HistoryUnavailableError, InvalidHistoryUrlError
from qt_events.history.stores.sql_store import SqlStore
from tests.support.stored import raw
from workers.fleet import history, postgres
from workers.fleet.history import FleetHistory, open_history
from workers.replay.done_days import UsedStoreError


@pytest.mark.parametrize("missing", ["server", "driver"])
def test_without_postgresql_it_is_kept_in_sqlite_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    module, name = (
        (postgres, "installed_postgres") if missing == "server" else (history, "find_spec")
    )
    monkeypatch.setattr(module, name, lambda *_: None)
    with open_history(None) as opened:
        file = Path(opened.url.removeprefix("sqlite:///"))
        assert opened.place.startswith("in SQLite until the fleet ends: ")
        assert "is installed" in opened.place or "is not installed" in opened.place
        assert (opened.lasts, opened.count("#")) == (False, 0)
        assert file.exists()
    assert not file.parent.exists()


def test_the_command_traces_the_first_trade(tmp_path: Path) -> None:
    """A history without a trade is listed."""
    url = f"sqlite:///{tmp_path}/of us.db"
    with open_history(url) as opened:
        assert opened.lasts
        assert opened.trace_of_a_trade() == f"qt-events history list --store '{url}'"
        with closing(SqlStore(url)) as store:
            store.append([raw("1", "trade.executed"), raw("2", "trade.executed")])
        assert opened.trace_of_a_trade() == f"qt-events history trace 1 --store '{url}'"


@pytest.mark.parametrize("part", ["u:secret@host/db", "u@host/db?password=secret"])
def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    opened = FleetHistory(f"postgresql://{part}", "")
    monkeypatch.setattr(SqlStore, "page", lambda *_, **__: [])
    assert opened.trace_of_a_trade() == (
        "qt-events history list   (with QT_HISTORY: the URL that you gave)"
    )


def test_a_history_of_another_run_is_refused(tmp_path: Path) -> None:
    """All ids of a day are in it already."""
    url = f"sqlite:///{tmp_path}/run.db"
    with closing(SqlStore(url)) as store:
        store.append([raw("1", "market.closed")])
    with pytest.raises(UsedStoreError, match="give --history"), open_history(url):
        """Not reached."""


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("mysql://host/db", InvalidHistoryUrlError),
        ("sqlite:////none/of/these.db", HistoryUnavailableError),
    ],
)
def test_a_history_that_cannot_be_used_is_named_at_once(url: str, error: type[Exception]) -> None:
    with pytest.raises(error), open_history(url):
        """Not reached."""
