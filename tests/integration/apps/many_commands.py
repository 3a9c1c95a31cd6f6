"""Runs commands one after the other, each forked after the imports, which take the longest.

Its arguments are a folder, and for each command a JSON list of its words and of variables for its
environment. The output of the first goes to file 0 in the folder, and so on. A command that goes on
trying to connect is ended as soon as it has said so.
"""

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import celery.bin.celery

import workers.__main__
import workers.commands
from qt_events.cli import main

# Modules that the commands import when they run, and that keep nothing of their environment
PRELOADED = (
    "alembic.command",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.concurrency.prefork",
    "celery.fixups.django",
    "celery.worker.control",
    "flower.command",
    "plotext",
    "psycopg",
    "qt_events.rabbitmq.operating.flower",
    "sqlalchemy.dialects.postgresql.psycopg",
)


def celery_main(_: list[str]) -> None:
    celery.bin.celery.main()


PROGRAMS: dict[str, Callable[[list[str]], object]] = {
    "celery": celery_main,
    "qt-events": main,
    "workers": workers.__main__.main,
}
PATIENCE = 60.0  # seconds for one command


def run(words: list[str], environment: dict[str, str], output: Path) -> NoReturn:
    os.setsid()
    os.environ.update(environment)
    told, nothing = os.open(output, os.O_CREAT | os.O_WRONLY), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(told, 1)
    os.dup2(told, 2)
    sys.argv = words
    try:
        PROGRAMS[words[0]](words[1:])
    except SystemExit as end:
        sys.stdout.write(f"it ended with {end.code}\n")
    except BaseException:  # noqa: BLE001  # as the interpreter would show it
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    os._exit(0)


def watch(child: int, output: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        said = output.read_text(errors="replace") if output.exists() else ""
        if "no connection" in said or "events wait" in said or time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(0.02)


if __name__ == "__main__":
    folder, *calls = sys.argv[1:]
    for name in PRELOADED:
        importlib.import_module(name)
    for number, call in enumerate(calls):
        path = Path(folder, str(number))
        words, environment = json.loads(call)
        if (pid := os.fork()) == 0:
            run(words, environment, path)
        watch(pid, path)
