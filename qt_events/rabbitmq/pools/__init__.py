"""Pools: how a message enters a worker pool, the asyncio pool or one of Celery's own."""
