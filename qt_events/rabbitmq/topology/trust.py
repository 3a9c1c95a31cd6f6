"""Provenance: the route by which a message came, and so the headers that are believed.

RabbitMQ asks who may use a routing key only where a message is published, and before 4.0 not for
the keys that a `CC` header adds. A user who may make a queue or an exchange (a process with a
broadcast makes its own) can have the broker send on what was put in there, by any key: by
dead-lettering, by an alternate exchange, by a binding of exchanges (each tried). But the broker
then tells the route, and here it is checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qt_events.rabbitmq.messages.envelope import ATTEMPT, FIRST_FAILED, REPLAY, TYPE
from qt_events.rabbitmq.topology.names import Topology

PUBLISHED, RETURNED, BURIED, ASTRAY = "published", "returned", "buried", "astray"
_DEATHS = "x-death"
_COPIED = (TYPE, ATTEMPT, FIRST_FAILED, REPLAY)  # headers of a copy on its way back to its queue


@dataclass(frozen=True, slots=True)
class Provenance:
    """Route of messages out of one subscription's queue or dead letters; `key` leads to it."""

    topology: Topology
    subscription: str
    key: str
    hears_fates: bool = False

    def of(self, delivery: Mapping[str, Any], headers: Mapping[str, Any]) -> str:
        """Return the route of a message in the subscription's queue.

        PUBLISHED to everybody; RETURNED to this subscription by us or by an operator; or ASTRAY, by
        a route that this bus does not use.
        """
        exchange, key = delivery.get("exchange", ""), delivery.get("routing_key")
        deaths = _deaths(headers)
        # Straight into the queue: only an administrator may do that.
        if exchange == "":
            return RETURNED
        if exchange == (self.topology.fates if self.hears_fates else self.topology.events):
            return ASTRAY if deaths else PUBLISHED
        if exchange == self.topology.starting:
            # Only a recorder may use this exchange. The rest of the key is the start's generation.
            returned = str(key).rpartition(".")[0] == self.key and not deaths
        elif exchange == self.topology.redeliver:
            returned = key == self.key and all(map(self._is_of_a_level, deaths))
        else:
            returned = exchange == self.topology.quarantined and key == self.key and not deaths
        return RETURNED if returned else ASTRAY

    def of_dead_letter(self, delivery: Mapping[str, Any], headers: Mapping[str, Any]) -> str:
        """Return the route of a dead letter.

        BURIED by the subscription's worker; or its route to the queue that the broker dropped it
        from.
        """
        exchange, key = delivery.get("exchange", ""), delivery.get("routing_key")
        deaths = _deaths(headers)
        if exchange != "" and (exchange, key) != (self.topology.dead_letters, self.subscription):
            return ASTRAY
        if not deaths:
            return BURIED
        last, *before = deaths
        known = all(self._is_own(each) or self._is_of_a_level(each) for each in before)
        return self._dropped(last) if known else ASTRAY

    def believed(
        self, delivery: Mapping[str, Any], headers: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return the headers of a dead letter that count, None if it is ASTRAY."""
        origin = self.of_dead_letter(delivery, headers)
        if origin in (BURIED, ASTRAY):
            return dict(headers) if origin == BURIED else None
        names = (_DEATHS, *(_COPIED if origin == RETURNED else ()))
        return {name: headers[name] for name in names if name in headers}

    def _dropped(self, death: object) -> str:
        """Return the route to the queue that this record of the broker names."""
        queue, exchange, keys = (
            _named(death, each) for each in ("queue", "exchange", "routing-keys")
        )
        if queue == self.topology.quarantine(self.subscription):
            isolated = (exchange, keys) == (self.topology.quarantined, [self.subscription])
            return RETURNED if isolated else ASTRAY
        if not self._is_own(death):
            return ASTRAY
        if exchange in {self.topology.events, self.topology.fates}:
            return PUBLISHED
        own = self.topology.queue("")
        comes_back = exchange == self.topology.redeliver and keys == [str(queue).removeprefix(own)]
        return RETURNED if exchange == "" or comes_back else ASTRAY

    def _is_of_a_level(self, death: object) -> bool:
        """Return True for a delay level. Its exchange and queue have one name.

        A message that came into it by another exchange is not ours.
        """
        queue, exchange = (_named(death, each) for each in ("queue", "exchange"))
        return queue == exchange and queue in self.topology.levels()

    def _is_own(self, death: object) -> bool:
        return self.topology.subscription_of(str(_named(death, "queue"))) == self.subscription


def _deaths(headers: Mapping[str, Any]) -> list[Any]:
    """Return the broker's records of dead-lettering, the last first (RabbitMQ, Dead Lettering)."""
    deaths = headers.get(_DEATHS)
    return deaths if isinstance(deaths, list) else [deaths] if deaths is not None else []


def _named(death: object, name: str) -> object:
    return death.get(name) if isinstance(death, Mapping) else None
