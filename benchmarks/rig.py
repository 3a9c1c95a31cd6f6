"""One RabbitMQ for the whole run, and contenders in processes of their own, each time on a new virtual host."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.tally import FOLDER, Count
from qt_events.testing.broker import Broker

_PATIENCE = 180.0  # seconds
_WORKERS: dict[str, Sequence[str]] = {
    "ours": ("-m", "celery", "-A", "benchmarks.peers.ours", "worker"),
    "celery": ("-m", "celery", "-A", "benchmarks.peers.celery", "worker"),
    "faststream": ("-m", "benchmarks.peers.faststream"),
    "raw": ("-m", "benchmarks.peers.raw"),
}


class BenchmarkFailedError(Exception):
    """A contender did not get through; the text is the end of what it said."""


@dataclass(frozen=True)
class Worker:
    """A process that handles, and what it has handled."""

    process: subprocess.Popen[bytes]
    folder: Path
    output: Path

    @property
    def count(self) -> Count:
        """By now."""
        return Count.of(self.folder)

    def until_handled(self, hits: int) -> Count:
        """The count as soon as there are so many hits."""
        deadline = time.monotonic() + _PATIENCE
        while (count := self.count).hits < hits:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkFailedError(f"handled {count.hits} of {hits}\n{self.output.read_text()[-3000:]}")
            time.sleep(0.02)
        return count

    def memory(self) -> float:
        """MB of RAM that are its own or shared (Linux, VmRSS), children included."""
        return sum(_status(pid) for pid in _family(self.process.pid)) / 1024

    def cpu(self) -> float:
        """Seconds that it has used."""
        ticks = os.sysconf("SC_CLK_TCK")
        return sum(_ticks(pid) for pid in _family(self.process.pid)) / ticks


class Rig:
    """Where contenders run."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._number = 0

    @contextmanager
    def vhost(self) -> Iterator[Mapping[str, str]]:
        """A new one, as the environment of processes; deleted with all that is in it."""
        self._number += 1
        name = f"bench-{self._number}"
        management = self._broker.management
        management.create_vhost(name)
        base = self._broker.url.rstrip("/")
        try:
            yield {**os.environ, "QT_BENCH_URL": f"{base}/{quote(name, safe='')}", "PYTHONHASHSEED": "0"}
        finally:
            management.delete_vhost(name)

    def act(self, peer: str, action: str, **arguments: int) -> dict[str, float]:
        """What `benchmarks.act` printed, on a virtual host of its own."""
        with self.vhost() as env:
            return self.act_on(env, peer, action, **arguments)

    def act_on(self, env: Mapping[str, str], peer: str, action: str, **arguments: int) -> dict[str, float]:
        """The same on one that there is."""
        words = [f"{name}={value}" for name, value in arguments.items()]
        command = [sys.executable, "-m", "benchmarks.act", peer, action, *words]
        done = subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603
        if done.returncode:
            raise BenchmarkFailedError(f"{' '.join(command[2:])}: {done.stderr[-3000:]}")
        return json.loads(done.stdout.splitlines()[-1]) or {}

    @contextmanager
    def worker(
        self, peer: str, env: Mapping[str, str], options: Sequence[str] = (), serve: str = "noop"
    ) -> Iterator[Worker]:
        """One that runs; killed at the end."""
        with tempfile.TemporaryDirectory() as folder:
            tally, output = Path(folder, "tally"), Path(folder, "output")
            tally.mkdir()
            command = [sys.executable, *_WORKERS[peer], *options]
            with output.open("wb") as file:
                process = subprocess.Popen(  # noqa: S603
                    command,
                    env={**env, FOLDER: str(tally), "QT_BENCH_SERVE": serve},
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            try:
                yield Worker(process, tally, output)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def consume(
        self,
        peer: str,
        count: int,
        options: Sequence[str] = (),
        serve: str = "noop",
        *,
        preload: Mapping[str, int] | None = None,
        meanwhile: Callable[[Mapping[str, str]], Any] | None = None,
    ) -> dict[str, float]:
        """How fast one worker handles what waits for it; CPU microseconds of the worker for each."""
        with self.vhost() as env:
            self.act_on(env, peer, "preload", count=count, **(preload or {}))
            stop = meanwhile(env) if meanwhile else None
            try:
                with self.worker(peer, env, options, serve) as worker:
                    done = worker.until_handled(count * (preload or {}).get("subscriptions", 1))
            finally:
                if stop:
                    stop()
        return {"rate": (done.hits - 1) / done.seconds, "cpu_us": done.cpu * 1e6}


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def _status(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return float(line.split()[1])
    return 0.0


def _ticks(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return float(fields[11]) + float(fields[12])
