"""Rig: one RabbitMQ for the whole run, and contenders in their own processes.

Each run of a contender gets a new virtual host.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from benchmarks.case import Sample
from benchmarks.failure import BenchmarkFailedError
from benchmarks.interpreter import answer
from benchmarks.worker import worker
from qt_events.testing.broker import Broker

#: Environment of a contender's processes.
Env = Mapping[str, str]

_TOLD = 60.0  # seconds; the broker counts every five


class Rig:
    """Runner of contenders on one broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._number = 0

    @property
    def api(self) -> str:
        """URL of the broker's management API, in the form that Flower takes."""
        return f"{self._broker.management_url}/api/"

    @contextmanager
    def vhost(self) -> Iterator[Env]:
        """Create a virtual host, yield it as the environment of processes, and delete it."""
        self._number += 1
        name = f"bench-{self._number}"
        url = self._broker.management.create_vhost(name)
        try:
            yield {**os.environ, "QT_BENCH_URL": url, "PYTHONHASHSEED": "0"}
        finally:
            self._broker.management.delete_vhost(name)

    def act(self, peer: str, action: str, **arguments: float) -> Sample:
        """Run `benchmarks.act` on a new virtual host and return what it printed."""
        with self.vhost() as env:
            return self.act_on(env, peer, action, **arguments)

    def act_on(self, env: Env, peer: str, action: str, **arguments: float) -> Sample:
        """Run `benchmarks.act` on an existing virtual host and return what it printed."""
        words = [f"{name}={value}" for name, value in arguments.items()]
        return answer("-m", "benchmarks.act", peer, action, *words, env=env) or {}

    def consume(
        self,
        peer: str,
        count: int,
        options: Sequence[str] = (),
        serve: str = "noop",
        subscriptions: int = 1,
    ) -> Sample:
        """Measure the rate and the CPU of one worker that handles events from a filled queue."""
        with self.vhost() as env:
            return self.consume_on(env, peer, count, options, serve, subscriptions)

    def consume_on(
        self,
        env: Env,
        peer: str,
        count: int,
        options: Sequence[str] = (),
        serve: str = "noop",
        subscriptions: int = 1,
    ) -> Sample:
        """Measure like `consume`, on an existing virtual host."""
        self.preload(env, peer, count, subscriptions)
        with worker(peer, env, options, serve) as handling:
            return handling.pace(count * subscriptions)

    def queue_memory(self, env: Env) -> float:
        """Return bytes of all queues of a virtual host, once the broker has told all of them."""
        vhost = unquote(urlsplit(env["QT_BENCH_URL"]).path[1:])
        deadline = time.monotonic() + _TOLD
        while True:
            found: list[Any] = [
                each.get("memory") for each in self._broker.management.queues(vhost)
            ]
            if found and None not in found:
                return float(sum(found))
            if time.monotonic() > deadline:
                raise BenchmarkFailedError("the broker does not tell its queues' memory")
            time.sleep(1.0)

    def preload(self, env: Env, peer: str, count: int, subscriptions: int = 1) -> None:
        """Publish `count` events that wait for a worker."""
        more = {"subscriptions": subscriptions} if subscriptions > 1 else {}
        self.act_on(env, peer, "preload", count=count, **more)
