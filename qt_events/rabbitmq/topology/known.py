"""Known: what this process has declared, while the connection that it did that by stands."""

import threading
from typing import Any

from amqp import Connection as RawConnection


class Known:
    """Declared objects by name: how they were declared, and by which connection. Thread-safe.

    The publisher and the worker of a process have a connection each. What one has declared the
    other need not, as long as that connection stands: a broker that ended, or came back without
    some of it, would have ended it, within two heartbeats at the latest. Hold `lock` from the
    question to the note: RabbitMQ 4.0.5 answers the second of two equal binds before the first one
    routes.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._made: dict[tuple[Any, str], tuple[object, RawConnection]] = {}

    def has(self, name: str, how: object, connection: RawConnection) -> bool:
        """Return True if it was declared in this way on the broker of a connection."""
        with self.lock:
            made, maker = self._made.get((_place(connection), name), (None, None))
            return maker is not None and made == how and _stands(maker)

    def note(self, name: str, how: object, connection: RawConnection) -> None:
        """Note that it was declared in this way by a connection."""
        with self.lock:
            self._made[_place(connection), name] = how, connection

    def drop(self, name: str) -> None:
        """Have one declared again, wherever it was."""
        with self.lock:
            self._made = {key: made for key, made in self._made.items() if key[1] != name}

    def forget(self) -> None:
        """Have everything declared again: something is gone."""
        with self.lock:
            self._made.clear()


def _place(connection: RawConnection) -> tuple[Any, ...]:
    """Return the node, its cluster and the vhost. An app may read from another broker."""
    cluster = connection.server_properties.get("cluster_name")
    return connection.host, cluster, connection.virtual_host


def _stands(connection: RawConnection) -> bool:
    """Ask the kernel, too: whoever reads the connection may be busy."""
    try:
        return bool(connection.connected) and not connection.frames.is_hung_up()
    # It is being closed at this moment.
    except (OSError, ValueError):
        return False
