"""open_broker(): a private RabbitMQ where one can be started, else the one that is lent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from qt_events.errors import BrokerError
from qt_events.testing.broker.broker import Broker
from qt_events.testing.broker.given import BROKER_URL, GivenBroker
from qt_events.testing.broker.installed import installed_rabbitmq
from qt_events.testing.broker.private import PrivateBroker

MANAGEMENT_URL = "QT_EVENTS_TEST_MANAGEMENT_URL"
ADVICE = (
    "no RabbitMQ for the tests: install rabbitmq-server 3.10 or later (with Erlang), "
    "or name a broker that tests may fill and empty: "
    f"{BROKER_URL}=amqp://user:password@host:5672//"
)


@contextmanager
def open_broker() -> Iterator[Broker]:
    """Open a broker for the tests of one process; a private one ends afterwards.

    Raises:
        BrokerError: there is none, with advice: tests that need a broker fail, they do not skip.
    """
    if installed_rabbitmq() is not None:
        with PrivateBroker() as broker:
            yield broker
    elif url := os.environ.get(BROKER_URL):
        yield GivenBroker(url, os.environ.get(MANAGEMENT_URL))
    else:
        raise BrokerError(ADVICE)
