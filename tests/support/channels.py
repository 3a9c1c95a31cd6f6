"""Channels of py-amqp, past everything of the library: what a queue holds, and messages of no bus."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import amqp


@contextmanager
def channel_to(url: str) -> Iterator[amqp.Channel]:
    """A channel on a connection of its own."""
    parts = urlsplit(url)
    with amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        virtual_host=unquote(parts.path[1:]),
    ) as connection:
        yield connection.channel()


def depth(url: str, queue: str) -> int:
    """Messages that wait in it, those that a consumer holds not counted."""
    with channel_to(url) as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)
