"""BrokerVersion: the RabbitMQ of a connection, and what it does otherwise than others.

It is told by the broker itself when a connection opens (`server_properties.version`), and nothing
is tried out: a refused try closes a channel, and the broker logs it.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple, Self

_NUMBERS = re.compile(r"(\d+)\.(\d+)")


class BrokerVersion(NamedTuple):
    """Major and minor version; (0, 0) of a broker that does not tell it."""

    major: int
    minor: int

    @classmethod
    def of(cls, connection: Any) -> Self:
        """Return that of an open connection of py-amqp."""
        return cls.read(str(connection.server_properties.get("version", "")))

    @classmethod
    @lru_cache(maxsize=8)
    def read(cls, text: str) -> Self:
        """Return that of a text such as `4.0.5` or `4.3.0-rc.1`."""
        found = _NUMBERS.match(text)
        return cls(*map(int, found.groups())) if found else cls(0, 0)

    @property
    def answers_duplicates_early(self) -> bool:
        """True if it answers a binding at once that another connection is just making.

        From 3.12 on Mnesia's routing tables are written after the transaction that makes the
        binding (rabbit_db_binding:create_in_mnesia). 4.3 has no Mnesia. A broker that does not tell
        its version is taken for one that does so: a lock is two round trips, and what is lost
        without it nobody sees.
        """
        return (3, 12) <= self < (4, 3) or self == (0, 0)
