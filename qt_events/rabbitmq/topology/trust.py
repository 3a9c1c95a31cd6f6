"""Provenance: by which way a message came, and so what of it is believed.

RabbitMQ asks who may use a routing key only where a message is published. A `CC` header adds keys that nobody asks
about, and whoever may make a queue or an exchange (a broadcast's process makes its own) may have the broker send on
from there what was put in, by any key: by dead-lettering, by an alternate exchange, by a binding of exchanges
(3.10.8, each tried). But the broker then tells which way that was: so the end looks at it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qt_events.rabbitmq.messages.envelope import ATTEMPT, FIRST_FAILED, TYPE
from qt_events.rabbitmq.topology.names import Topology

PUBLISHED, RETURNED, BURIED, ASTRAY = "published", "returned", "buried", "astray"
_DEATHS = "x-death"
_COPIED = (TYPE, ATTEMPT, FIRST_FAILED)  # what a copy on its way back to its queue says


@dataclass(frozen=True, slots=True)
class Provenance:
    """Of what comes out of one queue: of a subscription (`key` brings events back to it), or of its dead letters."""

    topology: Topology
    subscription: str
    key: str

    def of(self, delivery: Mapping[str, Any], headers: Mapping[str, Any]) -> str:
        """PUBLISHED to everybody, RETURNED to this subscription by us or an operator, or ASTRAY: by no way of ours."""
        exchange, key, deaths = (
            delivery.get("exchange", ""),
            delivery.get("routing_key"),
            _deaths(headers),
        )
        if exchange == "":  # straight into the queue: only an administrator may do that
            return RETURNED
        if exchange == self.topology.events:
            return ASTRAY if deaths else PUBLISHED
        if exchange == self.topology.redeliver:
            return RETURNED if key == self.key and all(map(self._is_of_a_level, deaths)) else ASTRAY
        return (
            RETURNED
            if exchange == self.topology.quarantined and key == self.key and not deaths
            else ASTRAY
        )

    def of_dead_letter(self, delivery: Mapping[str, Any], headers: Mapping[str, Any]) -> str:
        """BURIED by the subscription's worker; or by which way it came to the queue that the broker dropped it from."""
        exchange, key, deaths = (
            delivery.get("exchange", ""),
            delivery.get("routing_key"),
            _deaths(headers),
        )
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
        """The headers of a dead letter that count; None if it came by no way of ours."""
        origin = self.of_dead_letter(delivery, headers)
        if origin in (BURIED, ASTRAY):
            return dict(headers) if origin == BURIED else None
        names = (_DEATHS, *(_COPIED if origin == RETURNED else ()))
        return {name: headers[name] for name in names if name in headers}

    def _dropped(self, death: object) -> str:
        """By which way what the broker dropped had come to the queue that this tells of."""
        queue, exchange, keys = (
            _named(death, each) for each in ("queue", "exchange", "routing-keys")
        )
        if queue == self.topology.quarantine(self.subscription):
            return (
                RETURNED
                if (exchange, keys) == (self.topology.quarantined, [self.subscription])
                else ASTRAY
            )
        if not self._is_own(death):
            return ASTRAY
        if exchange == self.topology.events:
            return PUBLISHED
        own = self.topology.queue("")
        comes_back = exchange == self.topology.redeliver and keys == [str(queue).removeprefix(own)]
        return RETURNED if exchange == "" or comes_back else ASTRAY

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
