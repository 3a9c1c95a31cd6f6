"""Channels of py-amqp, past the library: depths of queues, and messages that no bus sent."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import amqp

from qt_events.testing.broker.management import Management
from tests.support.waiting import PATIENCE


@contextmanager
def channel_to(url: str) -> Iterator[amqp.Channel]:
    """Open a channel on a connection of its own.

    A publish returns when it is confirmed. RabbitMQ may lose others that are followed by the end of
    the connection: it notes that end in the log of a quorum queue before them.
    """
    parts = urlsplit(url)
    with amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        virtual_host=unquote(parts.path[1:]),
        confirm_publish=True,
    ) as connection:
        yield connection.channel()


def depth(url: str, queue: str) -> int:
    """Return the number of messages that wait in a queue, without those that a consumer holds."""
    with channel_to(url) as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)


async def until_depths(url: str, wanted: dict[str, int]) -> None:
    """Return when each of the queues has so many messages that wait. A failure says how many."""
    deadline = time.monotonic() + PATIENCE
    while (found := await asyncio.to_thread(depths, url, wanted)) != wanted:
        assert time.monotonic() < deadline, f"{found}, and not {wanted}"
        await asyncio.sleep(0.05)


def depths(url: str, queues: Iterable[str]) -> dict[str, int]:
    """Return the depth of each queue."""
    return {each: depth(url, each) for each in queues}


def empty(management: Management, vhost: str) -> None:
    """Purge every durable queue of events in a vhost, once nobody has one of its messages any more.

    A consumer that was killed gives back what it had at the moment in which it is no consumer.
    """
    durable = [
        each["name"]
        for each in management.queues(vhost)
        if each["durable"] and not each["name"].endswith(".register")
    ]
    # What waits for a retry would come to a queue later.
    names = sorted(durable, key=lambda name: ".retry." not in name)
    deadline = time.monotonic() + PATIENCE
    with channel_to(management.vhost_url(vhost)) as channel:
        for name in names:
            while channel.queue_declare(name, passive=True).consumer_count:
                assert time.monotonic() < deadline, f"{name} is consumed from"
                time.sleep(0.02)
        for name in names:
            channel.queue_purge(name)
