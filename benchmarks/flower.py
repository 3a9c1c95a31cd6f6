"""Run Flower beside a contender's worker, started the way users start it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from benchmarks.case import Sample
from benchmarks.interpreter import Running, running
from benchmarks.rig import Env, Rig
from benchmarks.worker import worker
from qt_events.testing.ports import free_ports

_COMMAND = Path(sys.executable).with_name("qt-events")
# Folder from which the app `benchmarks.peers.ours` can be imported.
_ROOT = Path(__file__).parent.parent
# Task events that a worker sends for each delivery that succeeds.
_KINDS = (
    "task-received",
    "task-started",
    "task-succeeded",
)


@dataclass(frozen=True)
class Flower:
    """Running Flower process."""

    _running: Running
    _place: str

    def until_up(self) -> None:
        """Wait until the health check answers."""
        self._running.until(
            lambda: self._page("healthcheck") is not None,
            lambda: "its health check does not answer",
        )

    def until_all_kinds_seen(self) -> None:
        """Wait until Flower has seen a worker's task events of every kind."""
        self._running.until(
            self._has_seen_all_kinds, lambda: f"it has not seen all of {', '.join(_KINDS)}"
        )

    def _has_seen_all_kinds(self) -> bool:
        lines = (self._page("metrics") or "").splitlines()
        seen = [line for line in lines if line.startswith("flower_events_total{")]
        return all(any(f'type="{kind}"' in line for line in seen) for kind in _KINDS)

    def _page(self, path: str) -> str | None:
        try:
            with build_opener(ProxyHandler({})).open(f"{self._place}/{path}", timeout=30) as answer:
                return str(answer.read().decode()) if answer.status == HTTPStatus.OK else None
        except (URLError, ConnectionError):
            return None


@contextmanager
def flower(env: Env, api: str) -> Iterator[Flower]:
    """Start Flower on the workers of a virtual host; kill it at the end."""
    (port,) = free_ports(1)
    options = ("-A", "benchmarks.peers.ours", "--port", str(port), "--management-url", api)
    own = {**env, "QT_BENCH_SERVE": "noop", "PYTHONPATH": str(_ROOT)}
    with running(str(_COMMAND), "flower", *options, env=own) as process:
        watching = Flower(process, f"http://127.0.0.1:{port}")
        watching.until_up()
        yield watching


def consume_watched(
    rig: Rig, peer: str, count: int, options: Sequence[str] = (), *, sends_events: bool
) -> Sample:
    """Measure like Rig.consume, with Flower beside the worker.

    A worker that sends task events has `sends_events`; Flower must have seen every kind at the end.
    """
    with rig.vhost() as env, flower(env, rig.api) as watching:
        rig.preload(env, peer, count)
        with worker(peer, env, options) as handling:
            sample = handling.pace(count)
            if sends_events:
                watching.until_all_kinds_seen()
    return sample
