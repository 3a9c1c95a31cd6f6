"""Worker of a contender: its process, the count of handled events, and its cost."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import proc
from benchmarks.case import Sample
from benchmarks.failure import BenchmarkFailedError
from benchmarks.interpreter import Running, running
from benchmarks.tally import FOLDER, Count

_COMMANDS: Mapping[str, Sequence[str]] = {
    "ours": ("-m", "celery", "-A", "benchmarks.peers.ours", "worker"),
    "recording": ("-m", "celery", "-A", "benchmarks.peers.recording", "worker"),
    "celery": ("-m", "celery", "-A", "benchmarks.peers.celery", "worker"),
    "faststream": ("-m", "benchmarks.peers.faststream"),
    "raw": ("-m", "benchmarks.peers.raw"),
}


@dataclass(frozen=True)
class Worker:
    """Running worker process."""

    _running: Running
    _folder: Path

    def until_handled(self, hits: int) -> Count:
        """Wait until `hits` events are handled, and return the count."""
        return self._running.until(
            lambda: self._count(hits), lambda: f"handled {self._hits()} of {hits}"
        )

    def pace(self, hits: int) -> Sample:
        """Measure events a second up to the last of `hits`, and CPU microseconds for each.

        Both are from a look soon after the first ones, those of the first batch: how long these
        took is not known. CPU includes the worker's children.
        """
        began = self.until_handled(1)
        cpu = self.cpu()
        done = self.until_handled(hits)
        if began.hits == done.hits:
            raise BenchmarkFailedError(
                f"{hits} events are too few to measure: give a larger --scale"
            )
        if done.hits > hits:
            raise BenchmarkFailedError(
                f"handled {done.hits} times, but there were {hits} events: some came again"
            )
        count = done.hits - began.hits
        return {
            "rate": count / (done.last - began.last),
            "cpu_us": (self.cpu() - cpu) / count * 1e6,
        }

    def memory(self) -> float:
        """Return MB of resident memory, children included."""
        return proc.resident(self._running.process.pid)

    def peak(self) -> float:
        """Return the most MB of resident memory so far."""
        return proc.peak(self._running.process.pid)

    def cpu(self) -> float:
        """Return CPU seconds used so far, children included."""
        return proc.cpu(self._running.process.pid)

    def _count(self, hits: int) -> Count | None:
        count = Count.of(self._folder)
        return count if count.hits >= hits else None

    def _hits(self) -> int:
        return Count.of(self._folder).hits


@contextmanager
def worker(
    peer: str, env: Mapping[str, str], options: Sequence[str] = (), serve: str = "noop"
) -> Iterator[Worker]:
    """Start a contender's worker; kill it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        own = {**os.environ, **env, FOLDER: folder, "QT_BENCH_SERVE": serve}
        with running(*_COMMANDS[peer], *options, env=own) as process:
            yield Worker(process, Path(folder))
