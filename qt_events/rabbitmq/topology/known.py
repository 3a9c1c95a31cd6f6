"""Known: what this process has declared, while a connection to the broker stands."""

import threading
from typing import Any

from amqp import Connection as RawConnection


class Known:
    """Declared objects by name, with how they were declared. Thread-safe.

    The publisher and the worker of a process have a connection each. What one has declared the
    other need not, and neither must after its own connection was lost, as long as one stands: a
    broker that ended, or came back without some of it, would have ended that. Hold `lock` from the
    question to the note: RabbitMQ 4.0.5 answers the second of two equal binds before the first one
    routes.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        # By place: connections that stood when last looked at, and what was made there meanwhile.
        self._standing: dict[Any, list[RawConnection]] = {}
        self._made: dict[Any, dict[str, object]] = {}

    def has(self, name: str, how: object, connection: RawConnection) -> bool:
        """Return True if it was declared in this way on the broker of a connection."""
        return name in (made := self._made_at(connection)) and made[name] == how

    def note(self, name: str, how: object, connection: RawConnection) -> None:
        self._made_at(connection)[name] = how

    def forget(self) -> None:
        """Declare everything again: something is gone."""
        with self.lock:
            self._made.clear()

    def _made_at(self, connection: RawConnection) -> dict[str, object]:
        place = _place(connection)
        with self.lock:
            standing = [each for each in self._standing.get(place, ()) if _stands(each)]
            if not standing:
                self._made.pop(place, None)
            if connection not in standing:
                standing.append(connection)
            self._standing[place] = standing
            return self._made.setdefault(place, {})


def _place(connection: RawConnection) -> tuple[Any, Any]:
    """Return cluster and vhost. An app may read from another broker than it writes to."""
    return connection.server_properties.get("cluster_name"), connection.virtual_host


def _stands(connection: RawConnection) -> bool:
    """Ask the kernel, too: whoever reads the connection may be busy."""
    try:
        return bool(connection.connected) and not connection.frames.is_hung_up()
    # It is being closed at this moment.
    except (OSError, ValueError):
        return False
