"""Python processes of their own: some are asked one thing and end, others run until they are killed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.failure import BenchmarkFailedError

_ANSWER = 600.0  # seconds that an answer may take: a million events are published by one
_PATIENCE = 180.0  # seconds that one may wait for something else
_END = 3000  # characters of what a process said that failed
_LOOK = 0.01  # seconds between two looks

T = TypeVar("T")


def answer(*arguments: str, env: Mapping[str, str] | None = None) -> Any:
    """The last line that `python *arguments` prints, which is JSON.

    Raises:
        BenchmarkFailedError: it took longer than ten minutes, or ended with another status than 0.
    """
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, env=env, capture_output=True, text=True, timeout=_ANSWER, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkFailedError(
            f"{_named(arguments)}: not done after {_ANSWER:.0f} s"
        ) from error
    except subprocess.CalledProcessError as error:
        raise BenchmarkFailedError(f"{_named(arguments)}: {error.stderr[-_END:]}") from error
    return json.loads(done.stdout.splitlines()[-1])


@dataclass(frozen=True)
class Running:
    """A process that goes on."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path

    def until(self, told: Callable[[], T | None], missing: Callable[[], str]) -> T:
        """What `told` returns as soon as that is true.

        Raises:
            BenchmarkFailedError: the process ended before, or three minutes are over; it tells what is `missing`.
        """
        deadline = time.monotonic() + _PATIENCE
        while not (found := told()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkFailedError(
                    f"{self.name}: {missing()}\n{self.output.read_text()[-_END:]}"
                )
            time.sleep(_LOOK)
        return found


@contextmanager
def running(*arguments: str, env: Mapping[str, str]) -> Iterator[Running]:
    """`python *arguments`; killed at the end, with all that it started."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        with output.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, *arguments],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the benchmark, which then kills whom it started
            )
        try:
            yield Running(_named(arguments), process, output)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _named(arguments: tuple[str, ...]) -> str:
    return " ".join(arguments)[:120]
