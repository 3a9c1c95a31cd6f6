"""Crew: the processes of a fleet on this machine."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import monotonic

from qt_events.testing.keeper import Keeper

TAIL = 15  # lines
FAR = 32_768  # bytes from the end, in which they are looked for
COMPLAINT = re.compile(r"(?:qt-events|Error|(?:qt_events|workers)\.[\w.]+Error): (.+)")  # ours, click's, a traceback's


class Crew:
    """Named processes with a folder of their own; they do not outlive this one, however it ends.

    Each leads a session of its own: Ctrl-C in the terminal reaches this process alone, which then stops them in order.
    """

    def __init__(self) -> None:
        self._keeper = Keeper("qt-events-fleet-")
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        here = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))  # celeryconfig.py
        self.environment = {**os.environ, "PATH": programs, "PYTHONPATH": here}  #: what each process is given
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._read: dict[str, int] = {}  # bytes of what each has printed
        self._stopped: set[str] = set()

    @property
    def folder(self) -> Path:
        """Gone when the crew is closed."""
        return self._keeper.folder

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start it."""
        self._processes[name] = self._keeper.spawn(name, command, self.environment)

    def __contains__(self, name: str) -> bool:
        """Whether it was started."""
        return name in self._processes

    def pid(self, name: str) -> int:
        """Its process id."""
        return self._processes[name].pid

    def status(self, name: str) -> int | None:
        """Its exit status, negative for a signal, if it was started and has ended."""
        return self._processes[name].poll() if name in self else None

    def wait(self, name: str, timeout: float) -> int:
        """Return when it has ended, with its status; subprocess.TimeoutExpired after so many seconds."""
        return self._processes[name].wait(timeout)

    def ended(self) -> dict[str, int]:
        """Those that nobody has stopped and that have ended all the same, with their status."""
        found = {name: self.status(name) for name in self._processes if name not in self._stopped}
        return {name: status for name, status in found.items() if status is not None}

    def new_lines(self, name: str) -> list[str]:
        """The whole lines that it has printed since this was asked last; none if it was not started."""
        if name not in self:
            return []
        since = self._read.get(name, 0)
        whole, end, _ = self._printed(name, since).rpartition(b"\n")
        self._read[name] = since + len(whole + end)
        return whole.decode(errors="replace").splitlines()

    def tail(self, name: str) -> str:
        """The end of what it has printed."""
        size = self._path(name).stat().st_size
        lines = self._printed(name, max(0, size - FAR)).decode(errors="replace").splitlines()
        return "\n".join(lines[-TAIL:])

    def complaint(self, name: str) -> str | None:
        """The error that it ended by, if that has a name, and so says all there is to say."""
        return complaint(self.tail(name)) if (self.status(name) or 0) > 0 else None

    def _printed(self, name: str, since: int) -> bytes:
        with self._path(name).open("rb") as file:
            file.seek(since)
            return file.read()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.out"

    def stop(self, names: Iterable[str], grace: float) -> None:
        """SIGTERM to all of them; SIGKILL to their groups if they have not ended after so many seconds."""
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
        """SIGKILL to what still runs; the folder goes."""
        self._keeper.close()


def told(status: int) -> str:
    """An exit status in words."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def complaint(printed: str) -> str | None:
    """What an error of ours, or click's of wrong usage, says in the last line, if there is one."""
    found = COMPLAINT.fullmatch(printed.rstrip().rpartition("\n")[2])
    return found[1] if found else None
