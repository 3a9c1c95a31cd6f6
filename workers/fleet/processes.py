"""Processes of a fleet on this machine."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import monotonic

from qt_events.testing.keeper import Keeper

#: Folder of the package workers and of celeryconfig.py.
ROOT = Path(__file__).parents[2]
TAIL_LINES, TAIL_BYTES = 15, 32_768
#: Last line of a program that failed with a named error: ours, click's, or the end of a traceback.
ERROR_LINE = re.compile(r"(?:qt-events|workers|Error|(?:qt_events|workers)\.[\w.]+Error): (.+)")


class Processes:
    """Named child processes with one folder; they end with this process, however it ends.

    Each leads a session of its own: Ctrl-C in the terminal reaches this process alone, which then
    stops the others in order.
    """

    def __init__(self) -> None:
        self._keeper = Keeper("qt-events-fleet-")
        programs = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        modules = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
        #: Environment of each process.
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join(programs),
            "PYTHONPATH": os.pathsep.join(modules),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._read: dict[str, int] = {}
        self._stopped: set[str] = set()

    @property
    def folder(self) -> Path:
        """Folder of their output; `close` removes it."""
        return self._keeper.folder

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process. The program `python` is this Python."""
        program = sys.executable if command[0] == "python" else command[0]
        started = self._keeper.spawn(name, [program, *command[1:]], self.environment)
        self._processes[name] = started

    def __contains__(self, name: str) -> bool:
        """Return True if the process was started."""
        return name in self._processes

    def pid(self, name: str) -> int:
        """Return the process id."""
        return self._processes[name].pid

    def status(self, name: str) -> int | None:
        """Return the exit status, negative for a signal; None before the end or the start."""
        return self._processes[name].poll() if name in self else None

    def wait(self, name: str, timeout: float) -> int:
        """Return the exit status as soon as the process has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        return self._processes[name].wait(timeout)

    def ended(self) -> dict[str, int]:
        """Return the statuses of the processes that ended without being stopped."""
        running = {name: self.status(name) for name in self._processes if name not in self._stopped}
        return {name: status for name, status in running.items() if status is not None}

    def new_lines(self, name: str) -> list[str]:
        """Return the whole lines that a process has printed since the last call."""
        if name not in self:
            return []
        since = self._read.get(name, 0)
        whole, end, _ = self._printed(name, since).rpartition(b"\n")
        self._read[name] = since + len(whole + end)
        return whole.decode(errors="replace").splitlines()

    def tail(self, name: str) -> str:
        """Return the last lines that a process has printed."""
        size = self._path(name).stat().st_size
        printed = self._printed(name, max(0, size - TAIL_BYTES)).decode(errors="replace")
        return "\n".join(printed.splitlines()[-TAIL_LINES:])

    def error_line(self, name: str) -> str | None:
        """Return the named error by which a process failed; None if it has no name."""
        return error_line(self.tail(name)) if (self.status(name) or 0) > 0 else None

    def _printed(self, name: str, since: int) -> bytes:
        with self._path(name).open("rb") as file:
            file.seek(since)
            return file.read()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.out"

    def stop(self, names: Iterable[str], grace: float) -> None:
        """Send SIGTERM to processes, and SIGKILL to those that still run after `grace` seconds."""
        chosen = [name for name in names if name in self and name not in self._stopped]
        self._stopped.update(chosen)
        for name in chosen:
            self._processes[name].send_signal(signal.SIGTERM)
        deadline = monotonic() + grace
        for name in chosen:
            try:
                self.wait(name, max(0.0, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                self._keeper.kill(name)

    def close(self) -> None:
        """Send SIGKILL to the processes that still run, and remove the folder."""
        self._keeper.close()


def status_text(status: int) -> str:
    """Return an exit status in words."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def error_line(printed: str) -> str | None:
    """Return the text of the named error in the last line; None if there is none."""
    found = ERROR_LINE.fullmatch(printed.rstrip().rpartition("\n")[2])
    return found[1] if found else None
