"""LoggedWorkers: workers of logging_app, with stdout and stderr apart."""

import json
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from qt_events.events.event import Event
from qt_events.testing.contract.recorder import RECORDS, Call, Recorder
from tests.support.fleet.fleet import APPS
from tests.support.fleet.forks import ForkingKeeper
from tests.support.fleet.serving import SERVES
from tests.support.waiting import until

#: stdout apart: it is not for logs
_SPLIT = 'exec "$0" -m "$@" 2>"$STDERR"'
_SPLIT_AND_FORKED = """
import os, runpy
os.dup2(os.open(os.environ["STDERR"], os.O_WRONLY | os.O_APPEND), 2)
runpy.run_module("celery", run_name="__main__", alter_sys=True)
"""

Line = dict[str, Any]


class LoggedWorker:
    """One `celery -A logging_app worker`, its stdout and stderr apart."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: Path, stderr: Path) -> None:
        self.process, self._stdout, self._stderr = process, stdout, stderr

    @property
    def stdout(self) -> str:
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    @property
    def lines(self) -> list[Line]:
        """Every line of stderr, which must each be an object of JSON."""
        lines = [json.loads(line, parse_constant=pytest.fail) for line in self.stderr.splitlines()]
        assert all(isinstance(line, dict) for line in lines)
        return lines

    def about(self, event: Event[Any]) -> list[Line]:
        return [line for line in self.lines if line.get("event_id") == event.id]

    async def stop(self) -> int:
        """A warm shutdown; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        await until(
            lambda: self.process.poll() is not None, what=f"the end of the worker\n{self.stderr}"
        )
        return int(self.process.returncode)


class LoggedWorkers:
    """Starts workers of logging_app, and sees what their handlers record."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.recorder = url, Recorder(folder / "records.jsonl")
        self._keeper, self._number = ForkingKeeper("qt-events-logs-"), count(1)
        self.serves: tuple[str, ...] = ()

    async def start(
        self,
        *options: str,
        ready: bool = True,
        forked: bool = True,
        url: str = "",
        **environment: str,
    ) -> LoggedWorker:
        """Start a worker, by default forked; `ready`: return when it consumes."""
        name = f"worker-{next(self._number)}"
        stderr, before = self._keeper.folder / f"{name}.err", len(self._ready)
        stderr.touch()
        program = (
            [sys.executable, "-c", _SPLIT_AND_FORKED]
            if forked
            else ["/bin/sh", "-c", _SPLIT, sys.executable, "celery"]
        )
        command = [*program, "-A", "logging_app", "worker", *options]
        ours = {
            "STDERR": str(stderr),
            "FLEET_URL": url or self.url,
            RECORDS: str(self.recorder.path),
            SERVES: ",".join(self.serves),
        }
        path = os.pathsep.join([str(APPS), *(entry for entry in sys.path if entry)])
        process = self._keeper.spawn(
            name, command, {**os.environ, "PYTHONPATH": path, **ours, **environment}
        )
        worker = LoggedWorker(process, self._keeper.folder / f"{name}.out", stderr)
        if ready:
            done = lambda: len(self._ready) > before or process.poll() is not None  # noqa: E731
            await until(done, what=f"{name} is ready")
            assert process.poll() is None, worker.stderr
        return worker

    @property
    def _ready(self) -> list[Call]:
        return self.recorder.read("ready")

    async def until_called(self, name: str, event: Event[Any]) -> list[Call]:
        return list(
            await until(
                lambda: self.recorder.read("call", name, event.id), what=f"a call of {name}"
            )
        )

    def close(self) -> None:
        self._keeper.close()
