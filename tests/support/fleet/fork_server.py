"""Program that forks Python programs, each with everything imported already.

`python -m tests.support.fleet.fork_server FD` answers on a socket that it inherits. A request is a
line of JSON, as ForkServer writes it; so is each report of a child's start and end. The program
ends when the socket is closed, and leaves its children alone.
"""

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

#: Modules that a worker imports at its start, and that keep nothing of the process they are in.
PRELOADED = (
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.concurrency.solo",
    "celery.concurrency.thread",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.control",
    "kombu.transport.pyamqp",
    "qt_events.rabbitmq.bus",
    "qt_events.testing.contract",
    "qt_events.testing.ledger",
    "rich.live",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "tests.support.contract.assignment",
    "tests.support.fleet.serving",
)


class Server:
    """The side of the socket that forks."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._beginning = b""
        self._running: set[int] = set()
        # The end of a child wakes the loop through this pipe.
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def serve(self) -> None:
        """Fork until the other side closes the socket."""
        while True:
            for key, _ in self._selector.select():
                if key.fd == self._woken:
                    self._report_ends()
                elif not self._take_requests():
                    return

    def _take_requests(self) -> bool:
        data = self._connection.recv(65536)
        *lines, self._beginning = (self._beginning + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(data)

    def _take(self, request: dict[str, Any]) -> None:
        if "heard_of" in request:
            os.waitpid(request["heard_of"], 0)
            return
        if "module" in request:
            preload(request["module"])
            # What it has printed would else be the beginning of every child's output.
            sys.stdout.flush()
            sys.stderr.flush()
            return
        child = os.fork()
        if not child:
            self._forget()
            run(request)
        # Whoever hears of it may kill its process group, which has to be there.
        while os.getpgid(child) != child:
            time.sleep(0.0002)
        self._running.add(child)
        self._tell({"started": child})

    def _forget(self) -> None:
        """Close everything of the server in a child."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._connection.close()
        os.close(self._woken)
        os.close(self._waker)

    def _report_ends(self) -> None:
        """Report each child that has ended.

        It stays a zombie until the other side has heard of it: as long as that may send it a
        signal, its id belongs to no other process.
        """
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        for child in tuple(self._running):
            end = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if end is not None:
                self._running.remove(child)
                exited = end.si_code == os.CLD_EXITED
                self._tell({"ended": child, "status": end.si_status if exited else -end.si_status})

    def _tell(self, report: dict[str, int]) -> None:
        self._connection.sendall(json.dumps(report).encode() + b"\n")


def run(request: dict[str, Any]) -> NoReturn:
    """Become the process that the request describes, and run its program to its end."""
    os.setsid()
    Path(request["note"]).write_text(f"{os.getpid()}\n")
    os.chdir(request["folder"])
    output = os.open(request["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nothing, output, output)):
        os.dup2(source, target)
    os.close(output)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(request["environment"])
    execute(request["arguments"])
    sys.exit()


def execute(arguments: list[str]) -> None:
    """Run `-m MODULE ...` or `-c CODE ...` as the interpreter does."""
    given = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    kind, what, *rest = arguments
    here = os.getcwd() if kind == "-m" else ""  # noqa: PTH109  # sys.path holds texts
    sys.path[:] = [here, *given, *(part for part in sys.path[1:] if part not in given)]
    if kind == "-m":
        sys.argv = [what, *rest]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *rest]
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102  # -c


def preload(*modules: str) -> None:
    """Import modules for all children from now on."""
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def main() -> None:
    """Import everything, then serve the socket whose descriptor is the argument."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    # A child that is aborted writes the stack of each of its threads: see StartedWorker.last_words.
    faulthandler.enable()
    preload(*PRELOADED)
    Server(connection).serve()


if __name__ == "__main__":
    main()
