"""ForkingKeeper: a Keeper whose Python programs are forked from one that has imported everything.

A `celery worker` takes two seconds of CPU until it is ready, most of it for imports. Forked, it is
the same program in a process of its own, in a fifth of the time.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from qt_events.testing.keeper import Keeper

_POLL = 0.01  # seconds


class ForkedProcess:
    """A child of the fork server, with the interface of subprocess.Popen as far as tests use it."""

    def __init__(self, server: "ForkServer", pid: int, args: Sequence[str]) -> None:
        self._server, self.pid, self.args = server, pid, args
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.status(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status; subprocess.TimeoutExpired if it lasts."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(_POLL)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The process that forks, and the ends of its children. Safe to use from any thread."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            program = [sys.executable, "-m", "tests.support.fleet.fork_server"]
            path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
            self._process = subprocess.Popen(
                [*program, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
        self._lock = threading.Lock()
        self._beginning = b""
        self._started: list[int] = []
        self._ended: dict[int, int] = {}

    def start(self, request: Mapping[str, Any]) -> ForkedProcess:
        """Fork a child that becomes the process that the request describes."""
        with self._lock:
            self._send(request)
            while not self._started:
                self._hear(0)
            return ForkedProcess(self, self._started.pop(), request["arguments"])

    def preload(self, module: str) -> None:
        """Have a module imported before the next fork, for programs that the others do not need."""
        with self._lock:
            self._send({"module": module})

    def status(self, pid: int) -> int | None:
        """Return the exit status of a child, once; None while it runs."""
        with self._lock:
            self._hear(socket.MSG_DONTWAIT)
            status = self._ended.pop(pid, None)
            if status is not None:
                self._send({"heard_of": pid})
            return status

    def close(self) -> None:
        """End the server. Its children go on."""
        self._socket.close()
        self._process.wait()

    def _send(self, message: Mapping[str, Any]) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _hear(self, flags: int) -> None:
        try:
            data = self._socket.recv(65536, flags)
        except BlockingIOError:
            return
        if not data:
            raise RuntimeError(f"the fork server has ended with status {self._process.wait()}")
        *lines, self._beginning = (self._beginning + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "started" in report:
                self._started.append(report["started"])
            else:
                self._ended[report["ended"]] = report["status"]


_servers: dict[int, ForkServer] = {}  # by the process that started it


def fork_server() -> ForkServer:
    """Return the fork server of this process, started when first asked for."""
    if os.getpid() not in _servers:
        _servers.clear()
        _servers[os.getpid()] = ForkServer()
    return _servers[os.getpid()]


class ForkingKeeper(Keeper):
    """A Keeper that forks `python -m ...` and `python -c ...`, and starts everything else."""

    def spawn(
        self, name: str, command: Sequence[str], env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a program as the leader of a process group, as Keeper does."""
        if not _can_be_forked(command, env):
            return super().spawn(name, command, env)
        output = self.folder / f"{name}.out"
        output.touch()
        forked = fork_server().start(
            {
                "arguments": list(command[1:]),
                "environment": dict(env),
                "folder": str(self.folder),
                "output": str(output),
                "note": str(self._note(name)),
            }
        )
        process = cast("subprocess.Popen[bytes]", forked)
        self._processes[name] = process
        return process


def _can_be_forked(command: Sequence[str], env: Mapping[str, str]) -> bool:
    # A preloaded library has to be there when the process begins.
    return command[0] == sys.executable and command[1] in {"-m", "-c"} and "LD_PRELOAD" not in env
