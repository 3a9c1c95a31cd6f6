"""Keeper: a folder and processes that end with the process that made them."""

import contextlib
import os
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

# A parent-death signal (PR_SET_PDEATHSIG) would be shorter, but it fires when the THREAD that
# started the child ends: a broker started from a thread pool would die with that thread. And it
# would not remove the folder.
# The folder of notes is renamed first, so that it takes no more of them. A note that is being
# written at that moment is waited for, for a second.
_KEEP = """
read -r _
mv "$1/pids" "$1/closed"
for note in "$1"/closed/*; do
  for _ in 1 2 3 4 5 6 7 8 9 10; do [ -f "$note" ] && [ ! -s "$note" ] && sleep 0.1; done
  [ -s "$note" ] && kill -s KILL -- "-$(cat "$note")" 2>/dev/null
done
until rm -rf "$1" 2>/dev/null; do sleep 0.1; done
"""

# The process notes its own id before it becomes the command, so that it never runs without being
# noted, and does not start once the folder is gone.
_NOTE = 'echo $$ >"$0" && exec "$@"'


class Keeper:
    """A temporary folder and process groups that never outlive their owner, not even after SIGKILL.

    A small shell waits on a pipe that the owner holds open. A line on it, or its end, makes the
    shell kill every process group noted in the folder and remove the folder. Closing, the
    interpreter's exit and the owner's death therefore take the same path. One gap remains: a forked
    child of the owner that lives on keeps the pipe open.
    """

    def __init__(self, prefix: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=prefix))
        (self.folder / "pids").mkdir()
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _KEEP, "keeper", str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._close = weakref.finalize(self, _close, os.getpid(), self._shell, self._processes)

    def spawn(
        self, name: str, command: Sequence[str], env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start `command` as the leader of a process group, with its output in `<name>.out`."""
        # A session of its own: Ctrl-C in the terminal reaches the tests, which close everything.
        with (self.folder / f"{name}.out").open("ab") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _NOTE, str(self._note(name)), *command],
                env=dict(env),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[name] = process
        return process

    def kill(self, name: str) -> None:
        """SIGKILL the group of `name`, unless it has ended, and wait for its leader."""
        process = self._processes.pop(name)
        # Once somebody has waited for the process, its id may belong to another.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self._note(name).unlink(missing_ok=True)
        process.wait()

    def close(self) -> None:
        """Kill every process, remove the folder, and return when that is done. Safe to repeat."""
        self._close()

    def _note(self, name: str) -> Path:
        return self.folder / "pids" / name


def _close(
    owner: int, shell: subprocess.Popen[bytes], processes: dict[str, subprocess.Popen[bytes]]
) -> None:
    # A forked child runs the same exit hooks, and must not end what its parent made.
    if os.getpid() != owner:
        return
    with contextlib.suppress(BrokenPipeError):
        shell.communicate(b"\n")
    for process in processes.values():
        process.wait()
