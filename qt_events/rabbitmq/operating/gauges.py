"""Gauges: the work of workers and queues, from Celery's events and RabbitMQ's management API.

Workers send their figures by themselves (`celery worker -E`), and the broker counts anyway.
"""

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import celery
import kombu
from kombu.exceptions import OperationalError

from qt_events.rabbitmq.topology.names import Topology

LOOK = 0.5  # seconds between two looks at whether to go on listening


@dataclass(frozen=True)
class QueueGauge:
    """Figures of a subscription's queue, or queues."""

    name: str  #: the subscription's
    waiting: int = 0  #: events that no worker has taken
    unacked: int = 0  #: events that a worker holds
    consumers: int = 0
    come: float = 0.0  #: events a second
    done: float = 0.0  #: events a second


@dataclass(frozen=True)
class WorkerGauge:
    """Figures of a worker, from its last heartbeat."""

    pid: int
    handled: int  #: since it started
    active: int  #: being handled now
    rate: float  #: handled a second, between its last two heartbeats
    at: float  #: time of the last one, a Unix time


def queue_gauges(topology: Topology, rows: Iterable[Mapping[str, Any]]) -> list[QueueGauge]:
    """Return a gauge for each subscription among rows of the management API, the busiest first.

    A broadcast has a queue for each process: they are one gauge.
    """
    gauges: dict[str, QueueGauge] = {}
    for row in rows:
        name = topology.subscription_of(row["name"])
        if name is not None:
            gauges[name] = _added(row, gauges.get(name, QueueGauge(name)))
    return sorted(
        gauges.values(), key=lambda each: (-each.waiting - each.unacked, -each.done, each.name)
    )


def _added(row: Mapping[str, Any], gauge: QueueGauge) -> QueueGauge:
    # A queue that was declared just now has no figures yet.
    rates = row.get("message_stats", {})
    return QueueGauge(
        gauge.name,
        waiting=gauge.waiting + row.get("messages_ready", 0),
        unacked=gauge.unacked + row.get("messages_unacknowledged", 0),
        consumers=gauge.consumers + row.get("consumers", 0),
        come=gauge.come + rates.get("publish_details", {}).get("rate", 0.0),
        done=gauge.done + rates.get("ack_details", {}).get("rate", 0.0),
    )


def dead_letters(topology: Topology, rows: Iterable[Mapping[str, Any]]) -> int:
    return sum(row.get("messages", 0) for row in rows if topology.holds_dead_letters(row["name"]))


def nodes_online(app: celery.Celery, rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return names, before their @, of workers that have declared all their queues. Seconds late.

    Such a worker consumes from its control queue. It does so only after it has declared the queues
    of its tasks. Mere existence of the control queue says less: a worker claims it first of all. A
    worker without remote control (`worker_enable_remote_control`) has none, and is never found.
    """
    ending = app.control.mailbox.get_queue("").name  # what follows the node's name
    consumed = (row["name"] for row in rows if row.get("consumers"))
    return {name.partition("@")[0] for name in consumed if name.endswith(ending)}


class Heartbeats:
    """Figures that workers send every two seconds, received in a thread of its own."""

    def __init__(self, app: celery.Celery) -> None:
        self._app, self._enough = app, threading.Event()
        self.gauges: dict[str, WorkerGauge] = {}  #: by the node's name before its @
        self._thread = threading.Thread(target=self._listen, name="heartbeats", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._enough.set()
        self._thread.join(10 * LOOK)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take a worker's event: worker-online, -heartbeat or -offline."""
        if "processed" not in event:
            return
        name = event["hostname"].partition("@")[0]
        before = self.gauges.get(name)
        handled, at = event["processed"], event["timestamp"]
        since = at - before.at if before else 0.0
        rate = (handled - before.handled) / since if before and since > 0 else 0.0
        self.gauges[name] = WorkerGauge(event["pid"], handled, event["active"], rate, at)

    def _listen(self) -> None:
        connection = self._app.connection_for_read()
        while not self._enough.is_set():
            try:
                self._receive(connection)
            except (OperationalError, *connection.connection_errors):
                # If the broker is gone for good, others say so.
                self._enough.wait(LOOK)

    def _receive(self, connection: kombu.Connection) -> None:
        # Each host is tried once. By default kombu tries again by itself, and does not hear `stop`.
        retries = max(1, len(connection.alt)) - 1
        connection.ensure_connection(max_retries=retries)
        receiver = self._app.events.Receiver(
            connection, handlers={"*": self.hear}, routing_key="worker.#"
        )
        receiver.connect_max_retries = retries
        # It opens a connection of its own.
        with receiver.consumer_context() as (opened, _channel, _consumers):
            while not self._enough.is_set():
                with suppress(TimeoutError):
                    opened.drain_events(timeout=LOOK)
                opened.heartbeat_check()
