"""Gauges: state of a fleet's workers and queues at one moment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qt_events.rabbitmq.operating.gauges import (
    Heartbeats,
    QueueGauge,
    WorkerGauge,
    dead_letters,
    nodes_online,
    queue_gauges,
)

if TYPE_CHECKING:
    from qt_events import CeleryEventBus

STARTING, ONLINE = "starting", "online"


@dataclass(frozen=True)
class Reading:
    """All gauges at one moment."""

    workers: dict[str, str] = field(default_factory=dict)  #: name -> state
    gauges: dict[str, WorkerGauge] = field(default_factory=dict)  #: of workers with a heartbeat
    queues: list[QueueGauge] = field(default_factory=list)
    dead_letters: int = 0
    feed: str = ""  #: its newest line on a day

    @property
    def starting(self) -> list[str]:
        """Names of the workers that are not ready yet."""
        return [name for name, state in self.workers.items() if state == STARTING]

    @property
    def consumed(self) -> set[str]:
        """Names of the subscriptions that somebody serves."""
        return {queue.name for queue in self.queues if queue.consumers}


class Gauges:
    """Gauges of one bus; it hears the heartbeats of its workers from `start` to `stop`."""

    def __init__(self, bus: "CeleryEventBus") -> None:
        """Take a bus with the workers' broker and prefix; it need not serve anything itself."""
        self._app, self._topology = bus.app, bus.topology
        self._heartbeats = Heartbeats(bus.app)

    def start(self) -> None:
        """Begin to receive heartbeats."""
        self._heartbeats.start()

    def stop(self) -> None:
        """Stop receiving heartbeats, and return when that is done."""
        self._heartbeats.stop()

    def read(
        self, rows: Iterable[Mapping[str, Any]], ended: Mapping[str, str | None], feed: str
    ) -> Reading:
        """Return a reading.

        Args:
            rows: queues, as RabbitMQ's management API lists them.
            ended: for each worker, how it has ended; None for one that runs.
            feed: the newest line on a day.
        """
        rows = list(rows)
        online = nodes_online(self._app, rows)
        return Reading(
            workers={
                name: end or (ONLINE if name in online else STARTING) for name, end in ended.items()
            },
            gauges=dict(self._heartbeats.gauges),
            queues=queue_gauges(self._topology, rows),
            dead_letters=dead_letters(self._topology, rows),
            feed=feed,
        )
