"""Channels of py-amqp, past the library: depths of queues, and messages that no bus sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import amqp


@contextmanager
def channel_to(url: str) -> Iterator[amqp.Channel]:
    """Open a channel on a connection of its own."""
    parts = urlsplit(url)
    with amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        virtual_host=unquote(parts.path[1:]),
    ) as connection:
        yield connection.channel()


def depth(url: str, queue: str) -> int:
    """Return the number of messages that wait in a queue, without those that a consumer holds."""
    with channel_to(url) as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)
