"""Spool: events in a file, bounded, one process's, and never deleted for a fault."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qt_events.delivery.publishing.spooling import NewEvent, SpoolCounts
from qt_events.errors import (
    InvalidOptionError,
    SpoolFileError,
    SpoolFullError,
    SpoolInUseError,
)
from qt_events.outbox.spool import Spool, family
from qt_events.outbox.spool.looking import entries, retry, stats
from qt_events.outbox.spool.spool_file import OVERHEAD, SpoolFile

ALL = 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a spool that is not there yet."""
    return tmp_path / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[SpoolFile]:
    """Open a spool."""
    with closing(Spool(path).open()) as opened:
        yield opened


def events(*numbers: int, size: int = 10) -> list[NewEvent]:
    return [NewEvent(str(number), "a.b", b"x" * size) for number in numbers]


def ids(spool: SpoolFile, after: int = 0) -> list[str]:
    return [each.id for each in spool.waiting(after, ALL, ALL)]


def test_events_wait_in_the_order_in_which_they_came(spool: SpoolFile) -> None:
    """Places grow, also after the last event was removed."""
    assert spool.append(events(1, 2, 3)) == [None] * 3
    places = [each.place for each in spool.waiting(0, ALL, ALL)]
    spool.remove(places[1:])
    spool.append(events(4))
    assert ids(spool) == ["1", "4"]
    assert spool.waiting(places[0], ALL, ALL)[0].place > max(places)


def test_a_page_is_bounded_by_count_and_by_bytes(spool: SpoolFile) -> None:
    """One event is in it at least, however large."""
    spool.append(events(*range(9), size=100))
    assert len(spool.waiting(0, 4, ALL)) == 4
    assert len(spool.waiting(0, ALL, 250)) == 3
    assert len(spool.waiting(0, ALL, 1)) == 1


def test_the_counts_are_those_of_the_file(path: Path) -> None:
    """They are kept in memory, and are the same when the file is opened anew."""
    with closing(Spool(path).open()) as spool:
        spool.append(events(*range(5), size=100))
        first, second, *_ = spool.waiting(0, ALL, ALL)
        spool.remove([first.place, 77])
        spool.set_aside(second.place, "too large")
        spool.set_aside(second.place, "again")
        kept = SpoolCounts(3, 1, 4 * (100 + OVERHEAD), spool.counts.oldest)
        assert spool.counts == kept
    with closing(Spool(path).open()) as spool:
        assert spool.counts == kept
        assert ids(spool) == ["2", "3", "4"]


def test_what_has_no_room_is_refused_by_name_and_a_smaller_one_is_kept(path: Path) -> None:
    """Events that were set aside count, too: the file is bounded."""
    with closing(Spool(path, max_bytes=2 * (100 + OVERHEAD)).open()) as spool:
        found = spool.append([*events(1, size=100), *events(2, size=500), *events(3, size=100)])
        assert [type(each) for each in found] == [type(None), SpoolFullError, type(None)]
        spool.set_aside(spool.waiting(0, 1, ALL)[0].place, "refused")
        (full,) = spool.append(events(4))
        assert "1 of them set aside" in str(full)
        assert ids(spool) == ["3"]


def test_a_commit_is_on_the_disk_when_it_returns(spool: SpoolFile) -> None:
    """In WAL mode only synchronous=FULL survives a loss of power."""
    connection = spool._connection  # noqa: SLF001
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_full_disk_is_a_named_error_and_nothing_of_the_batch_is_kept(spool: SpoolFile) -> None:
    """Later, with room again, the same spool goes on."""
    spool.append(events(1))
    connection = spool._connection  # noqa: SLF001
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    before = spool.counts.bytes
    with pytest.raises(SpoolFullError, match="no room on the disk"):
        spool.append(events(*range(2, 500), size=1_000))
    assert (ids(spool), spool.counts.waiting, spool.counts.bytes) == (["1"], 1, before)
    connection.execute("PRAGMA max_page_count = 1000000")
    assert spool.append(events(2)) == [None]
    assert ids(spool) == ["1", "2"]


def test_old_events_are_set_aside_and_not_dropped(path: Path) -> None:
    """The reason says how old they may get."""
    with closing(Spool(path, max_age=1e-9).open()) as spool:
        spool.append(events(1, 2))
        assert spool.expire() == ["1", "2"]
        assert (spool.counts.waiting, spool.counts.aside) == (0, 2)
        assert spool.expire() == []
    assert {each.reason for each in entries(path, aside=True, limit=9)} == {
        "waited for longer than max_age=1e-09 s"
    }


def test_an_operator_sends_again_what_was_set_aside(spool: SpoolFile, path: Path) -> None:
    """The process that has the file notices."""
    spool.append(events(1, 2))
    assert spool.refresh() is False
    for each in spool.waiting(0, ALL, ALL):
        spool.set_aside(each.place, "refused")
    assert retry(path, "2") == 1
    assert spool.refresh() is True
    assert ids(spool) == ["2"]
    assert retry(path, None) == 1
    assert retry(path, None) == 0
    assert spool.refresh() is True
    assert ids(spool) == ["1", "2"]
    assert [(each.waiting, each.aside, each.bytes) for each in stats(path)] == [(2, 0, 20)]


def test_each_process_has_a_file_of_its_own(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever comes next takes over what those have left that are gone, the refused, too."""
    first, second = Spool(path).open(), Spool(path).open()
    assert second.where == f"{first.where}.2"
    first.append(events(1))
    second.append(events(2, 3))
    second.set_aside(second.waiting(0, 1, ALL)[0].place, "refused")
    second.close()
    with caplog.at_level(logging.INFO, "qt_events"), closing(Spool(path).open()) as third:
        # The place is free again.
        assert third.where == second.where
        assert ids(third) == ["3"]
    first.close()
    with caplog.at_level(logging.INFO, "qt_events"), closing(Spool(path).open()) as last:
        assert last.where == first.where
        assert ids(last) == ["1", "3"]
        assert last.counts.aside == 1
    assert "took over 2 events" in caplog.text


def test_a_broken_file_of_another_process_is_left_and_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps nobody from spooling."""
    other = path.with_name("spool.db.2")
    other.write_bytes(b"no database" * 100)
    with closing(Spool(path).open()) as spool:
        assert spool.append(events(1)) == [None]
    assert str(other) in caplog.text
    assert other.read_bytes() == b"no database" * 100


def test_more_processes_than_files_are_refused_by_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text says what to do."""
    monkeypatch.setattr(family, "MOST", 2)
    with (
        closing(Spool(path).open()),
        closing(Spool(path).open()),
        pytest.raises(SpoolInUseError, match="name another path"),
    ):
        Spool(path).open()


def test_a_file_of_something_else_is_refused_by_name(path: Path) -> None:
    """Another program's database, and text."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE spooled (place INTEGER)")
    with pytest.raises(SpoolFileError, match="something else"):
        Spool(path).open()
    path.write_text("a letter" * 1_000)
    with pytest.raises(SpoolFileError, match="is no spool"):
        Spool(path).open()
    assert path.read_text() == "a letter" * 1_000


def test_a_file_of_a_newer_release_is_refused_by_name(path: Path) -> None:
    """This one might read it wrongly."""
    Spool(path).open().close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(SpoolFileError, match="newer release"):
        Spool(path).open()
    with pytest.raises(SpoolFileError, match="newer release"):
        stats(path)


def test_a_damaged_file_is_refused_by_name_and_kept(path: Path) -> None:
    """Somebody may still read what is left."""
    with closing(Spool(path).open()) as spool:
        spool.append(events(*range(500), size=1_000))
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = whole[:middle] + b"\xff" * 20_000 + whole[middle + 20_000 :]
    path.write_bytes(damaged)
    with pytest.raises(SpoolFileError, match="damaged"):
        Spool(path).open()
    assert path.read_bytes() == damaged
    # And the lock is free: it can be moved away, and the same path be used.
    path.unlink()
    Spool(path).open().close()


def test_a_folder_that_is_not_there_is_a_named_error(tmp_path: Path) -> None:
    """It is not made: it may be a disk that is not mounted."""
    with pytest.raises(SpoolFileError, match="No such file or directory"):
        Spool(tmp_path / "missing" / "spool.db").open()
    with pytest.raises(SpoolFileError, match="there is no spool"):
        stats(tmp_path / "spool.db")


def test_only_its_user_may_read_the_file(spool: SpoolFile, path: Path) -> None:
    """Events may hold anything."""
    spool.append(events(1))
    for each in (path, path.with_name("spool.db-wal"), path.with_name("spool.db.lock")):
        assert each.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"max_age": 0}, {"max_bytes": "1 GB"}])
def test_limits_are_checked_when_they_are_given(path: Path, limits: dict[str, object]) -> None:
    """Nothing is opened for that."""
    with pytest.raises(InvalidOptionError, match=next(iter(limits))):
        Spool(path, **limits)  # type: ignore[arg-type]
    assert not path.exists()
