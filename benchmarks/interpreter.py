"""Start Python processes: some answer once and end, others run until they are killed."""

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

# Seconds that an answer may take; one of them publishes a million events.
_ANSWER = 600.0
# Seconds that any other wait may take.
_PATIENCE = 180.0
# Characters of a failed process's output that go into the error.
_END = 3000
# Seconds between two checks.
_POLL = 0.01

T = TypeVar("T")


def answer(*arguments: str, env: Mapping[str, str] | None = None) -> Any:
    """Run `python *arguments` and return the last line that it prints, parsed as JSON.

    Raises:
        BenchmarkFailedError: it took longer than ten minutes, or its exit status is not 0.
    """
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, env=env, capture_output=True, text=True, timeout=_ANSWER, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkFailedError(
            f"{_label(arguments)}: not done after {_ANSWER:.0f} s"
        ) from error
    except subprocess.CalledProcessError as error:
        raise BenchmarkFailedError(f"{_label(arguments)}: {error.stderr[-_END:]}") from error
    return json.loads(done.stdout.splitlines()[-1])


@dataclass(frozen=True)
class Running:
    """Process that runs until it is killed."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path

    def until(self, check: Callable[[], T | None], missing: Callable[[], str]) -> T:
        """Wait until `check` returns something true, and return that.

        Raises:
            BenchmarkFailedError: the process ended first, or three minutes have passed. The text
                holds what `missing` returns.
        """
        deadline = time.monotonic() + _PATIENCE
        while not (found := check()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkFailedError(
                    f"{self.name}: {missing()}\n{self.output.read_text()[-_END:]}"
                )
            time.sleep(_POLL)
        return found


@contextmanager
def running(*arguments: str, env: Mapping[str, str]) -> Iterator[Running]:
    """Start `python *arguments`; kill it and everything that it started at the end."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        with output.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, *arguments],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the benchmark only, which then kills this process.
                start_new_session=True,
            )
        try:
            yield Running(_label(arguments), process, output)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _label(arguments: tuple[str, ...]) -> str:
    return " ".join(arguments)[:120]
