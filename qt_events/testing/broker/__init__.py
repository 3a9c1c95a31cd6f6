"""RabbitMQ for tests: a private node, or a broker that somebody lends.

private.py      PrivateBroker: a RabbitMQ node of your own
broker.py       Broker: the operations that tests may ask of one
node.py         Node: one node of a broker, and every way to harm it
erlang.py       ErlangHost: folder, cookie and epmd that nodes share
management.py   Management: RabbitMQ's HTTP API, as far as tests need it
given.py        GivenBroker: a broker that somebody lends
installed.py    the rabbitmq-server that is installed
opened.py       open_broker(): a private node, or the broker that was given
"""

from qt_events.testing.broker.broker import Broker
from qt_events.testing.broker.given import GivenBroker
from qt_events.testing.broker.management import Management
from qt_events.testing.broker.node import Node
from qt_events.testing.broker.opened import open_broker
from qt_events.testing.broker.private import PrivateBroker

__all__ = ["Broker", "GivenBroker", "Management", "Node", "PrivateBroker", "open_broker"]
