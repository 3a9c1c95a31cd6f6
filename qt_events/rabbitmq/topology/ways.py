"""Ways: where an outcome puts a copy of its event, each declared before the first copy."""

from collections.abc import Callable

from amqp import Channel

from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.once import Once


class Ways:
    """Preparations of the publishes of outcomes.

    `make_quarantine` declares that of a subscription, and has others find it.
    """

    def __init__(self, topology: Topology, make_quarantine: Callable[[Channel, str], None]) -> None:
        self._topology, self._make_quarantine = topology, make_quarantine
        self._known: dict[str, Once] = {}  # by what they are

    def level(self, delay: float) -> Once:
        """Return that into the delay level for so many seconds."""
        name, _ = self._topology.level(delay)
        return self._once(
            f"delay level {name!r}", lambda channel: self._topology.declare_level(channel, delay)
        )

    def dead_letters(self, name: str) -> Once:
        """Return that into the dead letters of a subscription."""
        return self._once(
            _dead_letters(name), lambda channel: self._topology.declare_dead_letters(channel, name)
        )

    def quarantine(self, name: str) -> Once:
        """Return that into the quarantine of a subscription."""
        return self._once(_quarantine(name), lambda channel: self._make_quarantine(channel, name))

    def _once(self, about: str, declare: Callable[[Channel], object]) -> Once:
        return self._known.setdefault(about, Once(about, declare))

    def drop(self, name: str) -> None:
        """Forget those of a subscription."""
        for about in (_dead_letters(name), _quarantine(name)):
            self._known.pop(about, None)

    def forget(self) -> None:
        """Have all declared again."""
        self._known.clear()


def _dead_letters(name: str) -> str:
    return f"dead letters of {name!r}"


def _quarantine(name: str) -> str:
    return f"quarantine of {name!r}"
