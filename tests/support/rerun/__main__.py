"""The command: pytest with all arguments, and once more for a few tests that failed."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.rerun.record import Record

ROOT = Path(__file__).parents[3]
_PLUGIN = ("-p", "tests.support.rerun.plugin")
_ALONE = ("--numprocesses", "0", "--dist", "no")


def run(arguments: Sequence[str]) -> int:
    """Run pytest, and again if that may help; return the exit status of the last run."""
    with TemporaryDirectory(prefix="qt-events-rerun-") as folder:
        record = Path(folder) / "record.json"
        status = _pytest(*arguments, f"--rerun-record={record}")
        if not record.exists():
            # The process was killed, or a test ended it: with 0, at worst.
            return status or int(pytest.ExitCode.INTERNAL_ERROR)
        if status != pytest.ExitCode.TESTS_FAILED or Record.read(record).reason:
            return status
        return _pytest(*arguments, *_ALONE, f"--rerun-failed-of={record}")


def _pytest(*arguments: str) -> int:
    path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    command = [sys.executable, "-m", "pytest", *_PLUGIN, *arguments]
    environment = {**os.environ, "PYTHONPATH": path.strip(os.pathsep)}
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
