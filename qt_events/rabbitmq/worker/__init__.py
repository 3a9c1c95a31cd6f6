"""Worker: a Celery worker that serves subscriptions, as a process or inside the caller's.

serving.py          the delivering side of one bus: its worker, its pool, its shutdown
in_process.py       a worker inside the caller's process
sharing.py          other processes that serve the same subscriptions
consumer.py         Celery's consumer, with subscriptions that come and go
answers.py          answers of the broker that the event loop does not wait for
consuming_anew.py   a new consumer, for another prefetch or for one that is cancelled
old_events.py       old events first, where a subscription is still in its past
quarantines.py      those that are made while a worker runs, here or elsewhere
connecting.py       logging in, trying again, the worker's name
delayed_tasks.py    Celery's delay of plain tasks on quorum queues, without our queues
rate_limits.py      rate limits that an operator sets by remote control
asyncio_loop.py     Celery's event loop for one connection, run by asyncio
hub.py              Celery's event loop, stepped by asyncio
celery_flags.py     Celery's flags for stopping, translated for the shutdown
second_signal.py    the end of a worker that is told twice to stop
unknown_tasks.py    plain tasks of others, given back
remote_control.py   answers by name for what a pool cannot do
"""
