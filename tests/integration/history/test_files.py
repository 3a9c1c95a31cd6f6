"""Files of SQLite that somebody removes or replaces, and those of other programs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from qt_events.history import HistoryUnavailableError, NoHistoryError
from qt_events.history.stores.database import Database
from qt_events.history.stores.migrations import HEAD, version_of
from qt_events.history.stores.sql_store import SqlStore
from tests.support.stored import raw


@pytest.mark.parametrize("by_another", [False, True])
def test_a_file_that_was_removed_or_replaced_is_opened_again(
    tmp_path: Path, by_another: bool
) -> None:
    """Nothing is written to a file without a name, and then acknowledged."""
    file, url = tmp_path / "events.db", f"sqlite:///{tmp_path}/events.db"
    with closing(SqlStore(url)) as store, closing(SqlStore(url)) as reader:
        store.append([raw("lost")])
        assert len(reader.page()) == 1
        for each in tmp_path.iterdir():
            each.unlink()
        if by_another:
            with closing(SqlStore(f"sqlite:///{tmp_path}/other.db")) as other:
                other.append([raw("other")])
            (tmp_path / "other.db").replace(file)
        assert store.append([raw("kept")]) == 1
        with closing(sqlite3.connect(file)) as found:
            ids = [
                row[0] for row in found.execute("SELECT id FROM history_events ORDER BY sequence")
            ]
        assert ids == (["other", "kept"] if by_another else ["kept"])
        assert [each.event.id for each in reader.page()] == ids


def test_a_file_that_is_removed_during_a_transaction_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    with closing(Database(f"sqlite:///{file}")) as database:
        writing = database.writing()
        writing.__enter__()
        file.unlink()
        with pytest.raises(HistoryUnavailableError, match="removed or replaced"):
            writing.__exit__(None, None, None)
        with database.writing() as connection:
            assert version_of(connection) == HEAD


def test_asking_leaves_another_programs_database_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    with closing(sqlite3.connect(file)) as theirs:
        theirs.execute("CREATE TABLE theirs (n)")
    before = file.read_bytes()
    with (
        closing(SqlStore(f"sqlite:///{file}", must_exist=True)) as store,
        pytest.raises(NoHistoryError),
    ):
        store.page()
    assert file.read_bytes() == before
    with closing(SqlStore(f"sqlite:///{file}")) as store:
        store.append([raw()])
    with closing(sqlite3.connect(file)) as found:
        assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
