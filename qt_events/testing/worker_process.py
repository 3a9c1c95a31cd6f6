"""WorkerProcess: one `celery worker` process, with the interface of pytest-celery's container."""

import os
import re
import signal as signals
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import celery

from qt_events.errors import QtEventsError
from qt_events.testing.keeper import Keeper

_STARTUP = 90.0  # seconds until a worker is ready
_SHUTDOWN = 60.0  # seconds for a warm shutdown
_POLL = 0.05  # seconds
_READY = re.compile(r"\S+@\S+ ready\.")


class WorkerFailedError(QtEventsError):
    """A worker process ended by itself, or did not get ready; the text ends with its log."""


class WorkerProcess:
    """`celery -A <app> worker` with this name, killed at the latest when its maker ends.

    The log continues through every kill and restart.
    """

    def __init__(
        self, app: str, name: str, env: Mapping[str, str], options: Sequence[str] = ()
    ) -> None:
        """Take `app` as for `celery -A`, importable under `env`, and options of `celery worker`."""
        self.name = name
        self.celeryconfig: dict[str, Any] = {}
        self._command = [sys.executable, "-m", "celery", "-A", app, "worker", "--loglevel", "INFO"]
        self._command += ["--hostname", f"{name}@%h", *options]
        self._env = {**os.environ, **env, "PYTHONUNBUFFERED": "1"}
        self._keeper = Keeper("qt-events-worker-")
        self._process: subprocess.Popen[bytes] | None = None
        # Characters of the log that belong to earlier starts
        self._seen = 0

    @property
    def id(self) -> str:
        """Process id; pytest-celery takes it for a host's name."""
        return str(self._process.pid) if self._process else ""

    @property
    def status(self) -> str:
        """`running` or `exited`, in Docker's words."""
        return "running" if self._process is not None and self._process.poll() is None else "exited"

    def start(self) -> None:
        """Start the process and return at once; see `ready`."""
        self._seen = len(self.logs())
        self._process = self._keeper.spawn("worker", self._command, self._env)

    def ready(self) -> bool:
        """Wait until the worker consumes.

        Raises:
            WorkerFailedError: it ended before that, or took more than 90 s.
        """
        deadline = time.monotonic() + _STARTUP
        while _READY.search(self.logs()[self._seen :]) is None:
            ended = self.status != "running"
            if ended or time.monotonic() > deadline:
                how = "ended before it was ready" if ended else f"took more than {_STARTUP:g} s"
                raise WorkerFailedError(f"{self.name} {how}:\n{self.logs()[-5000:]}")
            time.sleep(_POLL)
        return True

    def logs(self) -> str:
        """Return all that it has written, through every restart."""
        path = self._keeper.folder / "worker.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Send a signal; return when the process has ended, if the signal is one that ends it."""
        number = signals.Signals[signal] if isinstance(signal, str) else signals.Signals(signal)
        if number is signals.SIGKILL:
            self._keeper.kill("worker")
            return
        assert self._process is not None, "start() it first"
        self._process.send_signal(number)
        if number in (signals.SIGTERM, signals.SIGQUIT, signals.SIGINT):
            self._process.wait(_SHUTDOWN)

    def restart(self, timeout: float = _SHUTDOWN) -> None:
        """Stop it warmly if it runs, start it again, and return when it consumes."""
        if self.status == "running" and self._process is not None:
            self._process.terminate()
            self._process.wait(timeout)
        self.start()
        self.ready()

    def reload(self) -> None:
        """Do nothing: a process's state is at hand."""

    def teardown(self) -> None:
        """Kill it and remove its log. Safe to repeat."""
        self._keeper.close()

    def version(self) -> str:
        """Return Celery's version."""
        return str(celery.__version__)

    def log_level(self) -> str:
        """Return the level given to `celery worker`."""
        return "INFO"

    def worker_name(self) -> str:
        """Return the part of its node name before the `@`."""
        return self.name

    def worker_queue(self) -> str:
        """Return the queue of plain tasks; subscriptions have queues of their own."""
        return "celery"
