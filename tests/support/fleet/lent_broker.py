"""Program: `python -m workers` whose fleet takes a broker that is lent, in place of one of its own.

`python -m tests.support.fleet.lent_broker AMQP_URL MANAGEMENT_URL fleet ...`. A RabbitMQ of its own
takes six seconds of CPU to start.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from qt_events.testing.broker import GivenBroker
from workers.__main__ import main


@contextmanager
def lent() -> Iterator[GivenBroker]:
    """Return the broker of the first two arguments, in place of a PrivateBroker."""
    yield GivenBroker(sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    with patch("workers.fleet.launcher.PrivateBroker", lent):
        main(sys.argv[3:])
