"""qt_events: the memory of a process that exports a whole history."""

import os
from contextlib import closing, redirect_stdout
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import proc
from benchmarks.trade import fields
from qt_events import RawEvent, TradeExecutedEvent
from qt_events.cli.history_asking import export as export_command
from qt_events.history import History

_BATCH = 10_000


def export(count: int) -> dict[str, float]:
    """Fill a history on SQLite in another process, export it, and return this one's peak."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder)}/events.db"
        filling = get_context("spawn").Process(target=fill, args=(url, count))
        filling.start()
        filling.join()
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            export_command(url)
    return {"peak_mb": proc.peak(os.getpid())}


def fill(url: str, count: int) -> None:
    """Record `count` events."""
    one = RawEvent.of(TradeExecutedEvent.create(**fields(0)))
    with closing(History(url).store) as store:
        for begin in range(0, count, _BATCH):
            numbers = range(begin, min(begin + _BATCH, count))
            store.append([replace(one, id=f"{number}") for number in numbers])
