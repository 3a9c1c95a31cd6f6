"""What an operator does: looks at the broker, and puts it in order. Nothing on an event's way needs this room.

desk.py            where a command gets at dead letters
inventory.py       what stands on the broker, and what it holds
gauges.py          what workers and queues are doing, from Celery's events and the management API
permissions.py     what a component may do on the broker; pure
administration.py  declaring, removing, and setting those permissions
management.py      RabbitMQ's management API
flower.py          Celery's monitor, started only where it can work
"""
