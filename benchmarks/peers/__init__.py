"""The contenders. Each module has the functions that `benchmarks.act` calls, and an app for its workers.

    ours.py        qt_events
    faststream.py  FastStream on aio-pika
    celery.py      plain Celery, a task for each event
    raw.py         the ceiling: py-amqp alone, in a loop
    memory.py      in memory: qt_events, and a home-made bus of one asyncio.Queue

All have a durable quorum queue bound to a durable topic exchange, persistent messages that the broker
confirms, the same prefetch, the same payload validated by pydantic where it is made and where it is
handled, and acknowledge after the handler.
"""
