"""Readiness: a worker tells its test that it consumes from its queues."""

import os
from pathlib import Path
from typing import Any

from celery.signals import worker_ready

from qt_events.testing.contract.recorder import Call, Recorder
from qt_events.testing.ledger import Ledger


def record_ready() -> None:
    """Have the worker of this process record its node's name, once it is ready."""
    worker_ready.connect(_record, weak=False)


def note_ready() -> None:
    """Have the worker of this process leave a file beside its ledger, once it is ready."""
    worker_ready.connect(_note, weak=False)


def ready_note(ledger: Ledger, pid: int) -> Path:
    """Return the file that says so of a process."""
    return ledger.folder / f"ready-{pid}"


def _record(sender: Any, **_: Any) -> None:
    Recorder.current().write(Call("ready", sender.hostname))


def _note(**_: Any) -> None:
    ready_note(Ledger.current(), os.getpid()).touch()
