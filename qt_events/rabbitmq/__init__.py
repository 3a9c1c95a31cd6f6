"""RabbitMQ through Celery. Only this room and qt_events.testing import celery, kombu and amqp.

In the order of an event's life:

bus.py         CeleryEventBus, the facade
assembly.py    the parts of one bus, put together
runtime.py     what the parts of one bus share
app/           the Celery app that a bus sets up, or joins
connection/    from a URL to a connection
publishing/    many publishes in flight, each confirmed
topology/      exchanges, queues and bindings
worker/        a worker that serves subscriptions
pools/         how a message enters a worker pool
starting/      new subscriptions that begin with old events
fates.py       what became of events, told to those who listen
handling/      from a message to its outcome
messages/      a message as plain data
dead_letters/  dead letters on the broker
operating/     an operator's work: inventory, permissions, Flower
eager.py       `task_always_eager`: publish runs the handlers itself
forwarding.py  events that were kept as bytes, published
redelivering.py  an event sent again, to one subscription
compat/        private names of py-amqp, kombu and Celery
"""
