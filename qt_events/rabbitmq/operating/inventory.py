"""Inventory: the contents and consumers of a bus's queues, from the management API's rows. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qt_events.rabbitmq.topology.names import Topology


@dataclass(slots=True)
class Holding:
    """Contents of one subscription's queues."""

    name: str
    #: One; of a broadcast one a process, of the last half hour.
    queues: list[str] = field(default_factory=list)
    waiting: int = 0  #: events that no worker has taken
    unacked: int = 0  #: events that a worker holds
    consumers: int = 0  #: of its queues
    quarantined: int = 0  #: events in quarantine
    dead_letters: int = 0

    @property
    def is_served(self) -> bool:
        return self.consumers > 0


@dataclass(slots=True)
class Inventory:
    """Holdings of all subscriptions under one prefix."""

    subscriptions: list[Holding]  #: by name
    lost: int  #: events that came back to a subscription that is gone

    def of(self, name: str) -> Holding | None:
        return next((each for each in self.subscriptions if each.name == name), None)


def inventory(topology: Topology, rows: Iterable[Mapping[str, Any]]) -> Inventory:
    """Sum up the management API's rows of queues. Figures that are not there yet count as 0."""
    holdings: dict[str, Holding] = {}
    lost = 0
    for row in rows:
        queue, messages = row["name"], row.get("messages", 0)
        if (name := topology.subscription_of(queue)) is not None:
            holding = holdings.setdefault(name, Holding(name))
            holding.queues.append(queue)
            holding.waiting += row.get("messages_ready", 0)
            holding.unacked += row.get("messages_unacknowledged", 0)
            holding.consumers += row.get("consumers", 0)
        elif queue.startswith(topology.dead("")):
            name = queue.removeprefix(topology.dead(""))
            holdings.setdefault(name, Holding(name)).dead_letters += messages
        elif queue.startswith(topology.quarantine("")):
            name = queue.removeprefix(topology.quarantine(""))
            holdings.setdefault(name, Holding(name)).quarantined += messages
        elif queue == topology.lost:
            lost = messages
    return Inventory([holdings[name] for name in sorted(holdings)], lost)
