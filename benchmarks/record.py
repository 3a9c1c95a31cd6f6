"""Record: one run of the benchmarks, with whatever one has to know to read its figures."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel

from benchmarks.row import Row

_PACKAGES = ("celery", "kombu", "amqp", "flower", "faststream", "aio-pika", "pydantic")
_ROOT = Path(__file__).parent.parent


class Record(BaseModel, frozen=True):
    """What `make bench` keeps as JSON; tables and chart are made of nothing else."""

    date: datetime
    commit: str  #: of the checkout; with a + if what is measured, or what measures, differs from it
    rounds: int  #: that were asked for; a row may say that it has others
    scale: float
    seconds: float  #: that all of it took
    machine: str
    versions: dict[str, str]
    rows: tuple[Row, ...]

    @classmethod
    def of(
        cls, rows: Sequence[Row], *, rounds: int, scale: float, seconds: float, rabbitmq: str
    ) -> "Record":
        """These rows, measured here and now."""
        return cls(
            date=datetime.now(UTC).replace(microsecond=0),
            commit=_commit(),
            rounds=rounds,
            scale=scale,
            seconds=round(seconds),
            machine=f"{platform.machine()}, {os.cpu_count()} cores",
            versions={"python": platform.python_version(), "rabbitmq": rabbitmq, **_packages()},
            rows=tuple(rows),
        )

    @classmethod
    def read(cls, path: Path) -> "Record":
        """One that was kept."""
        return cls.model_validate_json(path.read_text())

    def save(self, path: Path) -> None:
        """As JSON: a ratio to nothing is null, not Infinity."""
        path.write_text(self.model_dump_json(indent=2) + "\n")

    @property
    def failed(self) -> list[str]:
        """The contenders that did not get through, and why."""
        return [
            f"{row.name}: {name} failed {why}"
            for row in self.rows
            for name, why in row.failed.items()
        ]


def _packages() -> dict[str, str]:
    return {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    try:
        changed = _git("status", "--porcelain", "--", "qt_events", "benchmarks")
        return _git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
