"""Session: the cases of one run, one after the other. Finished rows survive Ctrl-C."""

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from benchmarks.case import Case
from benchmarks.record import Record
from benchmarks.rounds import measure
from benchmarks.row import Row


class Session:
    """Runner of cases that reports its progress on `out`."""

    def __init__(self, rounds: int, scale: float, out: TextIO = sys.stderr) -> None:
        self._rounds, self._scale, self._out = rounds, scale, out
        self._began = time.monotonic()
        self._rows: list[Row] = []
        #: Whether Ctrl-C ended the run before the last case was finished.
        self.interrupted = False

    def run(self, cases: Sequence[Case]) -> None:
        """Measure all cases. Ctrl-C ends the run; the unfinished case is left out."""
        try:
            for case in cases:
                self._rows.append(measure(case, self._rounds, self._report))
        except KeyboardInterrupt:
            self.interrupted = True
            self._report("interrupted: the finished rows follow")

    def record(self, rabbitmq: str) -> Record:
        """Return a record of the finished rows; `rabbitmq` is the broker's version."""
        seconds = time.monotonic() - self._began
        return Record.of(
            self._rows, rounds=self._rounds, scale=self._scale, seconds=seconds, rabbitmq=rabbitmq
        )

    def _report(self, step: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"{minutes:3}:{seconds:02} {step}", file=self._out, flush=True)
