"""Fleet: worker processes of an app in tests/integration/apps, and their handlers' records."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from qt_events.events.event import Event
from qt_events.testing.contract.recorder import RECORDS, Call, Recorder
from tests.support.fleet.forks import ForkingKeeper
from tests.support.fleet.serving import SERVES
from tests.support.waiting import PATIENCE, until

APPS = Path(__file__).parents[2] / "integration" / "apps"

_STACKS = 1.0  # seconds for a process to write the stacks of its threads

CELERY_WORKER = ("-m", "celery", "-A", "fleet", "worker")


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the ids of the processes that it has forked."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(line) for line in found.stdout.split()]


class StartedWorker:
    """One `celery worker` process."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process, self._output = process, output

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, timeout: float = PATIENCE) -> int:
        """Wait for its end and return its exit status; fail with the place where it hangs."""
        try:
            await until(lambda: self.process.poll() is not None, timeout, "the end of the worker")
        except AssertionError as error:
            error.add_note(self.last_words())
            raise
        return int(self.process.returncode)

    def last_words(self) -> str:
        """Return its output. One that still runs is aborted: so the stack of each thread is there.

        A forked one has Python's faulthandler. Its children come first, each alone.
        """
        for pid in (*children(self.process), self.pid):
            # It may have ended.
            with suppress(ProcessLookupError):
                if self.process.poll() is None:
                    os.kill(pid, signal.SIGABRT)
                    time.sleep(_STACKS)
        return self.output

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")


class Fleet:
    """Starts worker processes that serve the apps in apps/, and reads their handlers' records.

    A subscription costs a quorum queue, a vhost with all of an app's takes the broker longer than a
    worker takes to start. So a test names those that it needs in `serves`.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.recorder = url, Recorder(folder / "records.jsonl")
        self.serves: tuple[str, ...] = ()  #: names of subscriptions that the app makes, if not all
        self._keeper, self._number = ForkingKeeper("qt-events-fleet-"), count(1)

    async def start(
        self,
        *options: str,
        ready: bool = True,
        program: Sequence[str] = CELERY_WORKER,
        **environment: str,
    ) -> StartedWorker:
        """Start one more worker, and return when it consumes, or at once if not `ready`."""
        name, before = f"worker-{next(self._number)}", len(self.ready)
        command = [sys.executable, *program, "--loglevel", "INFO", *options]
        process = self._keeper.spawn(name, command, {**self._environment(), **environment})
        worker = StartedWorker(process, self._keeper.folder / f"{name}.out")
        if ready:
            done = lambda: len(self.ready) > before or process.poll() is not None  # noqa: E731
            await until(done, what=f"{name} is ready")
            assert process.poll() is None, worker.output
        return worker

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(APPS), *(entry for entry in sys.path if entry)])
        return {
            **os.environ,
            "PYTHONPATH": path,
            "FLEET_URL": self.url,
            RECORDS: str(self.recorder.path),
            SERVES: ",".join(self.serves),
        }

    @property
    def ready(self) -> list[str]:
        """Node names of the workers that got ready."""
        return [call.name for call in self.recorder.read("ready")]

    def calls(self, name: str, event: Event[Any] | None = None) -> list[Call]:
        return self.recorder.read("call", name, event.id if event else None)

    def open(self, gate: str = "go") -> None:
        self.recorder.write(Call("gate", gate))

    async def until_called(
        self, name: str, times: int = 1, event: Event[Any] | None = None
    ) -> list[Call]:
        return list(
            await until(
                lambda: len(c := self.calls(name, event)) >= times and c,
                what=f"{times} calls of {name}",
            )
        )

    def close(self) -> None:
        self._keeper.close()
