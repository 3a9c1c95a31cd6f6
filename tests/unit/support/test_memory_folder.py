"""Temporary files lie in memory where there is room for them."""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import memory_folder
from tests.support.memory_folder import has_room

GIB = 1 << 30


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """Return a /proc/meminfo that tells of 16 GiB."""
    file = tmp_path / "meminfo"
    file.write_text(f"MemTotal: 99999999 kB\nMemAvailable: {16 * GIB // 1024} kB\nBuffers: 1 kB\n")
    return file


def limit(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "memory.max"
    file.write_text(f"{text}\n")
    return file


@pytest.mark.parametrize("text", ["max", str(12 * GIB), None])
def test_there_is_room(tmp_path: Path, memory: Path, text: str | None) -> None:
    limits = [tmp_path / "of-an-older-kernel"]
    if text is not None:
        limits.append(limit(tmp_path, text))
    assert has_room(tmp_path, memory, limits, files=1)


def test_a_small_container_has_no_room(tmp_path: Path, memory: Path) -> None:
    """Docker's own 64 MB of /dev/shm are too little, and so is a limit of 2 GiB in all."""
    assert not has_room(tmp_path, memory, [], files=1 << 60)
    assert not has_room(tmp_path, memory, [limit(tmp_path, str(2 * GIB))], files=1)


def test_a_machine_without_such_a_folder_has_no_room(tmp_path: Path, memory: Path) -> None:
    assert not has_room(tmp_path / "shm", memory, [], files=1)
    assert not has_room(tmp_path, tmp_path / "proc", [], files=1)


def test_programs_must_run_from_there(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker mounts its own with `noexec`."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_NOEXEC))
    assert not has_room(tmp_path, memory, [], files=1)


def test_what_the_user_says_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    memory_folder.use()
    assert (os.environ["TMPDIR"], tempfile.gettempdir()) == (str(tmp_path), str(tmp_path))
