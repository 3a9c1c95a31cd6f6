"""The assertion that one thread uses a connection fails where two do, and is off by default."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qt_events.rabbitmq.compat.one_thread import REPORT, assert_one_thread


def connection(owner: int = 0) -> Any:
    frames = SimpleNamespace(owner=owner, write=lambda call: call())
    raw = SimpleNamespace(frames=frames, frame_writer=lambda call: call())
    assert_one_thread(raw)
    return raw


@pytest.fixture(autouse=True)
def report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have violations reported to a file of this test's own."""
    path = tmp_path / "report"
    monkeypatch.setenv(REPORT, str(path))
    return path


def in_another_thread(use: Any) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(use, lambda: "used").result()


def test_the_owner_may_use_it_within_its_own_use(report: Path) -> None:
    """A frame that is read has its answer written."""
    raw = connection(threading.get_ident())
    assert raw.frame_writer(lambda: raw.frames.write(lambda: "used")) == "used"
    assert not report.exists()


def test_another_thread_may_not(report: Path) -> None:
    """It is told, and the report names both threads and the place."""
    raw = connection(threading.get_ident())
    with pytest.raises(AssertionError, match="beside its owner MainThread"):
        in_another_thread(raw.frames.write)
    assert "beside its owner MainThread\n  File" in report.read_text()
    raw.frames.owner = 0
    assert in_another_thread(raw.frames.write) == "used"


def test_without_an_owner_it_is_one_at_a_time(report: Path) -> None:
    """Such as a connection that Celery lends from its pool."""
    raw = connection()
    assert in_another_thread(raw.frame_writer) == "used"
    with pytest.raises(AssertionError, match="beside its user MainThread"):
        raw.frame_writer(lambda: in_another_thread(raw.frames.write))
    assert report.exists()


def test_it_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is wrapped."""
    monkeypatch.delenv(REPORT)
    raw = connection(1)
    assert not hasattr(raw.frame_writer, "__wrapped__")
