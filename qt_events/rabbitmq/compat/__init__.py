"""Compat: the only room that touches private names of py-amqp, kombu and Celery.

names.py              the table of these names, and the check of it
basic_publish.py      many publishes in one call to the kernel
acknowledgements.py   many acknowledgements in one call, and basic.nack
frames.py             frames read ahead
one_thread.py         assertion that one thread uses a connection, for tests
unreadable.py         messages that py-amqp cannot read
kombu_connection.py   kombu's Connection
celery_worker.py      Celery's worker: its event loop, its end, jobs of its pool of processes
event_dispatcher.py   Celery's events for monitors
"""
