"""Inventory: the contents and consumers of a bus's queues, from the management API's rows. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qt_events.delivery.subscribing.handler_names import former_name_of, name_of
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.topics import spelling_of
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
    #: Old events that wait for a newcomer; None if it is none, or is past them.
    old: int | None = None
    #: Events that expired and stay in its queues, until the queue of dead letters is declared.
    expired: int = 0
    #: Patterns that its queue is bound by.
    patterns: list[str] = field(default_factory=list)
    #: Those of them that the app, which has the subscription, does not declare.
    undeclared: list[str] = field(default_factory=list)
    #: Subscription of the app whose handler had this name in a former release.
    renamed_to: str | None = None

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

    def compare(self, declared: Iterable[Subscription], service: str | None) -> None:
        """Mark what an app has declared otherwise, or by another name."""
        by_name = {each.name: each for each in declared}
        former = {former_name_of(each.handler): each for each in by_name.values()}
        for held in self.subscriptions:
            subscription = by_name.get(held.name)
            if subscription is None:
                renamed = former.get(held.name)
                if renamed is not None and renamed.name == name_of(renamed.handler, service):
                    held.renamed_to = renamed.name
            elif not subscription.broadcast:
                held.undeclared = [
                    each for each in held.patterns if each not in subscription.patterns
                ]


def inventory(
    topology: Topology,
    rows: Iterable[Mapping[str, Any]],
    bindings: Iterable[Mapping[str, Any]] = (),
) -> Inventory:
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
            holding.expired += row.get("messages_dlx", 0)
        elif queue.startswith(topology.old("")):
            name = queue.removeprefix(topology.old(""))
            holding = holdings.setdefault(name, Holding(name))
            holding.old = messages
            holding.consumers += row.get("consumers", 0)
        elif queue.startswith(topology.dead("")):
            name = queue.removeprefix(topology.dead(""))
            holdings.setdefault(name, Holding(name)).dead_letters += messages
        elif queue.startswith(topology.quarantine("")):
            name = queue.removeprefix(topology.quarantine(""))
            holdings.setdefault(name, Holding(name)).quarantined += messages
        elif queue == topology.lost:
            lost = messages
    for row in bindings:
        if row["source"] == topology.events:
            name = topology.subscription_of(row["destination"])
            held, pattern = holdings.get(name or ""), spelling_of(row["routing_key"])
            if held is not None and pattern not in held.patterns:
                held.patterns.append(pattern)
    return Inventory([holdings[name] for name in sorted(holdings)], lost)
