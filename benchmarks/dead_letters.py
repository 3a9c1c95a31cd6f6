"""Measure `qt-events dead-letters` with many dead letters: python benchmarks/dead_letters.py

Starts its own RabbitMQ. Each command is a process. For each one this prints seconds from start to
end, seconds of CPU, and peak memory.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import amqp

from qt_events import CeleryEventBus
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.rabbitmq.messages.envelope import headers_of
from qt_events.testing.broker import PrivateBroker

COMMAND = Path(sys.executable).with_name("qt-events")
TRACEBACK = (
    "Traceback (most recent call last):\n"
    + 20 * '  File "/srv/desk/orders.py", line 12, in handle\n    pay()\n'
)
BODY = b'{"account": "A7", "padding": "%s"}' % (300 * b"x")


@contextmanager
def channel_to(url: str) -> Iterator[amqp.Channel]:
    parts = urlsplit(url)
    with amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid="guest",
        password="guest",  # noqa: S106
    ) as connection:
        yield connection.channel()


def publish_dead_letters(url: str, count: int) -> None:
    with channel_to(url) as channel:
        for number in range(count):
            failed = datetime.now(UTC)
            record = DeadLetterRecord(
                subscription="orders",
                event_id=f"e{number}",
                event_type="orders.placed",
                reason="exhausted",
                attempts=5,
                exception_type="TimeoutError",
                message="no answer from the bank",
                traceback=TRACEBACK,
                first_failed=failed,
                last_failed=failed,
                body=BODY,
            )
            headers = headers_of(record, "orders")
            message = amqp.Message(
                BODY, application_headers=headers, delivery_mode=2, message_id=record.event_id
            )
            channel.basic_publish(message, "", "qt.dead.orders")
        while depth(channel, "qt.dead.orders") < count:
            time.sleep(0.1)


def depth(channel: amqp.Channel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)


def measure(url: str, *args: str) -> None:
    words = ("dead-letters", *args, "--subscription", "orders")
    began = time.monotonic()
    pid = os.posix_spawn(COMMAND, [str(COMMAND), *words], {**os.environ, "QT_BROKER_URL": url})
    _, status, usage = os.wait4(pid, 0)
    seconds, peak = time.monotonic() - began, usage.ru_maxrss / 1024
    cpu = usage.ru_utime + usage.ru_stime
    code = os.waitstatus_to_exitcode(status)
    print(
        f"| `{' '.join(args)}` | {seconds:.1f} s | {cpu:.1f} s | {peak:.0f} MiB |",
        f"exit code {code}" if code else "",
        flush=True,
    )


def main(count: int) -> None:
    with PrivateBroker() as broker, tempfile.TemporaryDirectory() as folder:
        bus = CeleryEventBus(broker.url)
        bus.subscribe("orders.*", print, name="orders")
        with channel_to(broker.url) as channel:
            bus.declarations.make(channel, 1)
        publish_dead_letters(broker.url, count)
        measure(broker.url, "list", "--limit", "1")
        measure(broker.url, "export", "--output", f"{folder}/dead.jsonl")
        measure(broker.url, "retry", "--all", "--dry-run")
        measure(broker.url, "retry", "--all")
        with channel_to(broker.url) as channel:
            left, back = depth(channel, "qt.dead.orders"), depth(channel, "qt.sub.orders")
        assert (left, back) == (0, count), (left, back)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
