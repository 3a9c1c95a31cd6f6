"""Gauges: what a fleet shows at one moment, and where its figures come from."""

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

    workers: dict[str, str] = field(default_factory=dict)  #: a state for each
    gauges: dict[str, WorkerGauge] = field(default_factory=dict)  #: of those that have told of themselves
    queues: list[QueueGauge] = field(default_factory=list)
    dead_letters: int = 0
    feed: str = ""  #: its last line on a day

    @property
    def starting(self) -> list[str]:
        """The workers that are not ready yet."""
        return [name for name, state in self.workers.items() if state == STARTING]


class Gauges:
    """The figures of one bus, whose workers are listened to from start to stop."""

    def __init__(self, bus: "CeleryEventBus") -> None:
        """`bus` has the workers' broker and prefix; it serves nothing itself."""
        self._app, self._topology = bus.app, bus.topology
        self._heartbeats = Heartbeats(bus.app)

    def start(self) -> None:
        """Begin to listen to the workers."""
        self._heartbeats.start()

    def stop(self) -> None:
        """Return when it listens no more."""
        self._heartbeats.stop()

    def read(self, rows: Iterable[Mapping[str, Any]], ended: Mapping[str, str | None], feed: str) -> Reading:
        """From the queues of the management API; `ended` tells for each worker how it has, if it has."""
        rows = list(rows)
        online = nodes_online(self._app, rows)
        return Reading(
            workers={name: end or (ONLINE if name in online else STARTING) for name, end in ended.items()},
            gauges=dict(self._heartbeats.gauges),
            queues=queue_gauges(self._topology, rows),
            dead_letters=dead_letters(self._topology, rows),
            feed=feed,
        )
