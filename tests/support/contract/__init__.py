"""The contract suite's backends of this project, and its table for docs/pools.md.

backends.py    CeleryBackend, EagerBackend, WorkerBackend and one for each of Celery's own pools
assignment.py  Assignment: the scenarios that a worker process is to serve
worker.py      the Celery app that `celery -A tests.support.contract.worker worker` serves
table.py       which rule runs on which backend, and why not: `python -m tests.support.contract`
"""
