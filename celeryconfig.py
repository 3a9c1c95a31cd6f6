"""Celery's settings for Quantum Trader's workers: `celery -A workers worker`, run from this folder.

Only what is this system's own choice: what a bus needs of its Celery app it sets itself (asyncio pool,
late acknowledgement, quorum queues, retries for ever to connect), and a setting made here wins over its defaults.
CELERY_BROKER_URL, if set, is read by Celery before this file and wins over `broker_url`.
"""

import os

broker_url = os.environ.get("CELERY_BROKER_URL", "amqp://guest:guest@localhost:5672//")

worker_concurrency = (
    4  # threads for sync handlers on the asyncio pool; children on prefork (-P processes)
)
worker_send_task_events = False  # -E switches them on: Flower needs them
worker_hijack_root_logger = False  # the workers' own loggers stay as they are configured
worker_proc_alive_timeout = 30  # seconds a prefork child may take to start

task_time_limit = None  # prefork only: seconds after which a handler's process is killed, and its event delivered again
timezone = "UTC"
