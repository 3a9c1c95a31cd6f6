"""One RabbitMQ for the whole run, and contenders in processes of their own, each time on a new virtual host."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmarks.case import Sample
from benchmarks.interpreter import answer
from benchmarks.worker import worker
from qt_events.testing.broker import Broker

Env = Mapping[str, str]  #: the environment of a contender's processes


class Rig:
    """Where contenders run."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._number = 0

    @property
    def api(self) -> str:
        """The broker's management API, as Flower wants it."""
        return f"{self._broker.management_url}/api/"

    @contextmanager
    def vhost(self) -> Iterator[Env]:
        """A new one, as the environment of processes; deleted with all that is in it."""
        self._number += 1
        name = f"bench-{self._number}"
        url = self._broker.management.create_vhost(name)
        try:
            yield {**os.environ, "QT_BENCH_URL": url, "PYTHONHASHSEED": "0"}
        finally:
            self._broker.management.delete_vhost(name)

    def act(self, peer: str, action: str, **arguments: float) -> Sample:
        """What `benchmarks.act` printed, on a virtual host of its own."""
        with self.vhost() as env:
            return self.act_on(env, peer, action, **arguments)

    def act_on(self, env: Env, peer: str, action: str, **arguments: float) -> Sample:
        """The same on one that there is."""
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
        """How fast one worker handles what waits for it, and what CPU that takes."""
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
        """The same on one that there is."""
        self.preload(env, peer, count, subscriptions)
        with worker(peer, env, options, serve) as handling:
            return handling.pace(count * subscriptions)

    def preload(self, env: Env, peer: str, count: int, subscriptions: int = 1) -> None:
        """Let so many events wait for a worker to come."""
        more = {"subscriptions": subscriptions} if subscriptions > 1 else {}
        self.act_on(env, peer, "preload", count=count, **more)
