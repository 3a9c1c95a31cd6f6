"""Worker: a Celery worker that serves subscriptions, in a process of its own or inside the caller's.

serving.py          whether, on which pool and loop, and until when this process delivers
in_process.py       the worker inside the caller's process
consumer.py         Celery's consumer, its event loop handed to asyncio
hub.py              Celery's event loop, stepped by asyncio
rate_limits.py      requests that wait until a rate limit lets them go
remote_control.py   what a pool cannot do is answered by name
shutdown.py         whether to stop, and how patiently
"""
