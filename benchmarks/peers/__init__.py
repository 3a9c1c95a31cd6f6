"""Contenders: each module has the functions of `benchmarks.act`, and an app for its workers.

    ours.py        qt_events
    faststream.py  FastStream on aio-pika
    celery.py      plain Celery, a task for each event
    raw.py         the ceiling: py-amqp alone, in a loop
    many.py        many subscriptions: qt_events, and py-amqp that only declares
    history.py     events in a database: a History, and the driver alone
    history_asking.py  a large history that is asked
    recording.py   qt_events with a history attached, and a worker that records
    replaying.py   a replay of a history
    exporting.py   a process that exports a history
    inbox.py       handlers in the transactions of an inbox, and in their own
    outbox.py      events added to transactions and relayed, and published directly
    memory.py      in memory: qt_events, and a home-made bus of one asyncio.Queue

All but the last nine have a durable quorum queue bound to a durable topic exchange, persistent
messages that the broker confirms, and the same prefetch. The payload is the same, validated by
pydantic where it is made and where it is handled. Messages are acknowledged after the handler.
"""
