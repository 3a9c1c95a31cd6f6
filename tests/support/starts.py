"""Recorder: a process `qt-events history record`, which serves newcomers."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from amqp.exceptions import NotFound

from tests.support.channels import depth
from tests.support.fleet.forks import ForkedProcess, ForkingKeeper, fork_server
from tests.support.waiting import until_told

PATIENCE = 100.0  # seconds


def stands(url: str, queue: str) -> bool:
    """Tell whether there is such a queue."""
    with suppress(NotFound):
        return depth(url, queue) >= 0
    return False


class Recorders:
    """Starts recorders of one history."""

    def __init__(self, broker: str, folder: Path) -> None:
        self._broker, self._store = broker, f"sqlite:///{folder}/events.db"
        self._keeper, self._started = ForkingKeeper("qt-events-recorders-"), 0
        fork_server().preload("qt_events.history.stores.sql_store")

    async def start(self) -> ForkedProcess:
        """Start one more, and return when newcomers may be declared."""
        self._started += 1
        # Passwords are not for the process list.
        env = {**os.environ, "QT_BROKER_URL": self._broker, "QT_HISTORY": self._store}
        command = [sys.executable, "-m", "qt_events", "history", "record"]
        process = self._keeper.spawn(f"recorder-{self._started}", command, env)
        await until_told(self._serves, PATIENCE, "it serves newcomers")
        return process  # type: ignore[return-value]

    def _serves(self) -> bool:
        return all(stands(self._broker, each) for each in ("qt.starts", "qt.sub.history"))

    def close(self) -> None:
        """Kill them all."""
        self._keeper.close()
