"""Operating a broker: looking at it and putting it in order. No event's way leads through here.

target.py          the bus that a command works with, by an app, by a URL, or by both
inventory.py       what stands on the broker, and what it holds
gauges.py          what workers and queues are doing, from Celery's events and the management API
permissions.py     what a component may do on the broker; pure
administration.py  declaring, removing, and setting those permissions
management.py      RabbitMQ's management API
flower.py          Celery's monitor, started only where it can work
"""
