"""RabbitMQ for tests: a private node, or a broker that somebody lends.

broker.py       Broker, GivenBroker, open_broker(): a private node, or the one that is lent
private.py      PrivateBroker: a RabbitMQ node of your own
node.py         Node: one node of a broker, and every way to harm it
erlang.py       ErlangHost: folder, cookie and epmd that nodes share; their start and stop
management.py   Management: RabbitMQ's HTTP API, as far as tests need it
installed.py    the rabbitmq-server that is installed
"""

from qt_events.testing.broker.broker import Broker, GivenBroker, open_broker
from qt_events.testing.broker.management import Management
from qt_events.testing.broker.node import Node
from qt_events.testing.broker.private import PrivateBroker

__all__ = ["Broker", "GivenBroker", "Management", "Node", "PrivateBroker", "open_broker"]
