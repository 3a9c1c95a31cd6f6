"""RabbitMQ through Celery: the only room that imports celery, kombu and amqp.

bus.py            CeleryEventBus: the facade
topology.py       every name and argument of exchanges and queues
confirms.py       ledger of unconfirmed delivery tags; no I/O
publisher.py      one connection, many events in flight
session.py        the life of one publisher connection
connections.py    connecting, to the first host that answers
forking.py        what a forked child makes anew
queues.py         SubscriptionQueue: the queue names the task
envelope.py       a message as it came, on its way to a handler and beyond
tasks.py          one attempt, and outcome -> delay level, dead letters; for every pool
strategy.py       a delivery enters a Celery worker
pool.py           the asyncio worker pool
consumer.py       Celery's consumer, its event loop handed to asyncio
worker.py         the Celery worker inside the caller's process
dead_letters.py   list, show, retry, discard
"""
