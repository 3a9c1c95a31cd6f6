"""Crew: the processes of a fleet on this machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import monotonic

from qt_events.testing.keeper import Keeper

TAIL = 15  # lines


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
        self._stopped: set[str] = set()

    @property
    def folder(self) -> Path:
        """Gone when the crew is closed."""
        return self._keeper.folder

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start it; what it prints is its `output`."""
        self._processes[name] = self._keeper.spawn(name, command, self.environment)

    def pid(self, name: str) -> int:
        """Its process id."""
        return self._processes[name].pid

    def status(self, name: str) -> int | None:
        """Its exit status, negative for a signal, if it was started and has ended."""
        return self._processes[name].poll() if name in self._processes else None

    def wait(self, name: str, timeout: float) -> int:
        """Return when it has ended, with its status; subprocess.TimeoutExpired after so many seconds."""
        return self._processes[name].wait(timeout)

    def ended(self) -> dict[str, int]:
        """Those that nobody has stopped and that have ended all the same, with their status."""
        found = {name: self.status(name) for name in self._processes if name not in self._stopped}
        return {name: status for name, status in found.items() if status is not None}

    def output(self, name: str) -> str:
        """All that it has printed so far, if it was started."""
        return (self.folder / f"{name}.out").read_text(errors="replace") if name in self._processes else ""

    def tail(self, name: str) -> str:
        """The end of it."""
        return "\n".join(self.output(name).splitlines()[-TAIL:])

    def stop(self, names: Iterable[str], grace: float) -> None:
        """SIGTERM to all of them; SIGKILL to their groups if they have not ended after so many seconds."""
        chosen = [name for name in names if name in self._processes and name not in self._stopped]
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
