"""Pools: how a message enters a worker pool, on asyncio and on Celery's own.

names.py               pools by name, and the options of a worker that each heeds
asyncio_pool.py        the asyncio worker pool
asyncio_delivery.py    a message on the asyncio pool
acks.py                many acknowledgements in one
redeliveries.py        messages that come again while their handlers run, or after they have ended
batches.py             batch subscriptions of the asyncio pool
pool_lanes.py          the lanes of the asyncio pool
exclusive_gate.py      many handlers beside each other, or one alone
subscription_task.py   a subscription as Celery sees it
celery_request.py      a message on Celery's own pools
handler_thread.py      the thread in which Celery's own pools call handlers
plain_tasks.py         tasks of the app's own on the asyncio pool
prefetch.py            number of events that a worker holds, by what their handler takes
loop_thread.py         an event loop in a thread of its own
process_end.py         what a handler did that its whole process has to end for
task_events.py         task events for monitors (`-E`)
"""
