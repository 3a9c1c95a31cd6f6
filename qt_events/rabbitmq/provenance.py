"""Provenance: by which way a message came, and so what of it is believed.

RabbitMQ asks who may use a routing key only where a message is published. A `CC` header adds keys that nobody asks
about, and whoever may make a queue or an exchange (a broadcast's process makes its own) may have the broker send on
from there what was put in, by any key: by dead-lettering, by an alternate exchange, by a binding of exchanges
(3.10.8, each tried). But the broker then tells which way that was: so the end looks at it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qt_events.rabbitmq.topology import Topology

PUBLISHED, RETURNED, ASTRAY = "published", "returned", "astray"
_DEATHS = "x-death"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Of what comes out of one queue: of a subscription (`key` brings events back to it), or of its dead letters."""

    topology: Topology
    subscription: str
    key: str

    def of(self, delivery: Mapping[str, Any], headers: Mapping[str, Any]) -> str:
        """PUBLISHED to everybody, RETURNED to this subscription by us or an operator, or ASTRAY: by no way of ours."""
        exchange, key, deaths = delivery.get("exchange", ""), delivery.get("routing_key"), _deaths(headers)
        if exchange == "":  # straight into the queue: only an administrator may do that
            return RETURNED
        if exchange == self.topology.events:
            return ASTRAY if deaths else PUBLISHED
        if exchange == self.topology.redeliver:
            return RETURNED if key == self.key and all(map(self._is_of_a_level, deaths)) else ASTRAY
        return RETURNED if exchange == self.topology.quarantined and key == self.key and not deaths else ASTRAY

    def is_dead_letter(self, delivery: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
        """Whether the subscription's worker put it among the dead letters, or the broker did, out of its queue."""
        exchange, key = delivery.get("exchange", ""), delivery.get("routing_key")
        ways = exchange == "" or (exchange == self.topology.dead_letters and key == self.subscription)
        return ways and all(map(self._is_own, _deaths(headers)))

    def _is_of_a_level(self, death: object) -> bool:
        """A level's exchange and queue have one name: what came into it by another exchange is none of ours."""
        queue, exchange = (_named(death, each) for each in ("queue", "exchange"))
        return queue == exchange and queue in self.topology.levels()

    def _is_own(self, death: object) -> bool:
        return self.topology.subscription_of(str(_named(death, "queue"))) == self.subscription


def _deaths(headers: Mapping[str, Any]) -> list[Any]:
    """What the broker tells of its dead-lettering, the last one first (RabbitMQ, Dead Lettering)."""
    deaths = headers.get(_DEATHS)
    return deaths if isinstance(deaths, list) else [deaths] if deaths is not None else []


def _named(death: object, name: str) -> object:
    return death.get(name) if isinstance(death, Mapping) else None
