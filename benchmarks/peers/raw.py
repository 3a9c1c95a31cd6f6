"""Ceiling: py-amqp, a validated model, confirms or acknowledgements, and nothing else."""

import os
import time
from urllib.parse import unquote, urlsplit

import amqp

from benchmarks.pace import spent, warm_up
from benchmarks.tally import hit
from benchmarks.trade import IN_FLIGHT, PREFETCH, TradeExecuted

# Messages for each acknowledgement.
_ACKS = 50
EXCHANGE, QUEUE = "raw.events", "raw.0"


def _channel() -> amqp.Channel:
    parts = urlsplit(os.environ["QT_BENCH_URL"])
    connection = amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=parts.username,
        password=parts.password,
        virtual_host=unquote(parts.path[1:]),
    )
    connection.connect()
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True, auto_delete=False)
    channel.queue_declare(
        QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
    )
    channel.queue_bind(QUEUE, EXCHANGE, "trade.executed")
    return channel


class _Window:
    """Publisher with at most `width` unconfirmed messages."""

    def __init__(self, channel: amqp.Channel, width: int) -> None:
        self._channel, self._width = channel, width
        self._sent = 0
        self._open: set[int] = set()
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)

    def _on_ack(self, tag: int, multiple: object) -> None:
        if multiple:
            self._open = {each for each in self._open if each > tag}
        else:
            self._open.discard(tag)

    def publish_all(self, count: int) -> None:
        """Publish `count` events; return when all are confirmed."""
        for number in range(count):
            self._publish(number)
        while self._open:
            self._channel.connection.drain_events()

    def _publish(self, number: int) -> None:
        while len(self._open) >= self._width:
            self._channel.connection.drain_events()
        body = TradeExecuted.new(number).model_dump_json()
        self._channel.basic_publish(
            amqp.Message(body, delivery_mode=2, content_type="application/json"),
            EXCHANGE,
            "trade.executed",
        )
        self._sent += 1
        self._open.add(self._sent)


def publish(count: int) -> dict[str, float]:
    """Publish with confirms, 100 in flight."""
    window = _Window(_channel(), IN_FLIGHT)
    window.publish_all(warm_up(count))
    began, cpu = time.monotonic(), time.process_time()
    window.publish_all(count)
    return spent(began, cpu, count)


def preload(count: int) -> None:
    """Publish events that wait for a worker."""
    _Window(_channel(), 1000).publish_all(count)


def worker() -> None:
    """Consume for ever: validate and count each event, acknowledge fifty at a time."""
    channel = _channel()
    channel.basic_qos(0, PREFETCH, False)  # noqa: FBT003
    taken = 0

    def handle(message: amqp.Message) -> None:
        nonlocal taken
        TradeExecuted.model_validate_json(message.body)
        hit()
        taken += 1
        if not taken % _ACKS:
            channel.basic_ack(message.delivery_tag, multiple=True)

    channel.basic_consume(QUEUE, callback=handle)
    while True:
        channel.connection.drain_events()


if __name__ == "__main__":
    worker()
