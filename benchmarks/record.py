"""Record: one run of the benchmarks, with the facts that are needed to read its figures."""

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
    """Run of the benchmarks as it is kept in JSON; tables and chart are made from this alone."""

    date: datetime
    #: Commit of the checkout, with a + if qt_events or the benchmarks differ from it.
    commit: str
    #: Number of rounds asked for; a row may have another number and says so.
    rounds: int
    scale: float
    #: Duration of the run.
    seconds: float
    machine: str
    versions: dict[str, str]
    rows: tuple[Row, ...]

    @classmethod
    def of(
        cls, rows: Sequence[Row], *, rounds: int, scale: float, seconds: float, rabbitmq: str
    ) -> "Record":
        """Make a record of rows that were measured here and now."""
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
        """Read a record that was saved."""
        return cls.model_validate_json(path.read_text())

    def save(self, path: Path) -> None:
        """Save as JSON. A ratio to zero becomes null, because JSON has no Infinity."""
        path.write_text(self.model_dump_json(indent=2) + "\n")

    @property
    def failed(self) -> list[str]:
        """Contenders that failed, with the reason."""
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
