"""Compat: the only room that touches private names of py-amqp, kombu and Celery.

basic_publish.py   basic.publish as bytes; no I/O
frames.py          frames read ahead
unreadable.py      messages that py-amqp cannot read
prefork.py         jobs that Celery's pool of processes would forget
"""
