"""Celery's settings for Quantum Trader's workers: `celery -A workers worker`, run from this folder.

They hold only the choices of this system. Its workers have the bus's asyncio pool, because the app
has no tasks but subscriptions; a `worker_pool` made here would win. Celery reads CELERY_BROKER_URL
before this file, and it wins over `broker_url`.
"""

import os

broker_url = os.environ.get("CELERY_BROKER_URL", "amqp://guest:guest@localhost:5672//")

# Threads for sync handlers on the asyncio pool; child processes on prefork (-P processes).
worker_concurrency = 4
# Flower needs task events: -E switches them on.
worker_send_task_events = False
# Loggers of workers/ stay as they are configured.
worker_hijack_root_logger = False
# Seconds in which a prefork child must start.
worker_proc_alive_timeout = 30

# Prefork only: seconds after which a handler's process is killed. Its event is delivered again.
task_time_limit = None
timezone = "UTC"
