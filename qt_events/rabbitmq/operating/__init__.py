"""Operating a broker: looking at it and putting it in order. Nothing here handles events.

target.py          the bus that a command works with, by an app, by a URL, or by both
inventory.py       queues on the broker, and the messages in them
gauges.py          the work of workers and queues, from Celery's events and the management API
permissions.py     the rights that a component needs on the broker; pure
administration.py  declaring, removing, and setting those rights
registered.py      the register of subscriptions, read and changed
undeclared.py      subscriptions whose queues do not stand, found by looking
moving.py          what a renamed subscription's queues hold, moved to its new ones
management.py      RabbitMQ's management API
flower.py          Celery's monitor, started only where it can work
"""
