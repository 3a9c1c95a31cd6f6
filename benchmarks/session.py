"""Session: the cases of one run, one after the other; what is finished outlives whatever ends it."""

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from benchmarks.case import Case
from benchmarks.record import Record
from benchmarks.rounds import measure
from benchmarks.row import Row


class Session:
    """Measures, and says on `out` what it is at."""

    def __init__(self, rounds: int, scale: float, out: TextIO = sys.stderr) -> None:
        self._rounds, self._scale, self._out = rounds, scale, out
        self._began = time.monotonic()
        self._rows: list[Row] = []
        self.interrupted = False  #: by Ctrl-C, before the last case was finished

    def run(self, cases: Sequence[Case]) -> None:
        """All of them; Ctrl-C ends it, and the case that was not finished is left out."""
        try:
            for case in cases:
                self._rows.append(measure(case, self._rounds, self._tell))
        except KeyboardInterrupt:
            self.interrupted = True
            self._tell("interrupted: what is finished follows")

    def record(self, rabbitmq: str) -> Record:
        """What is finished; `rabbitmq` is its version."""
        seconds = time.monotonic() - self._began
        return Record.of(
            self._rows, rounds=self._rounds, scale=self._scale, seconds=seconds, rabbitmq=rabbitmq
        )

    def _tell(self, what: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"{minutes:3}:{seconds:02} {what}", file=self._out, flush=True)
