"""`matches` and `RoutingIndex` give the answers that RabbitMQ's own topic exchange gives."""

import itertools
import random
from collections.abc import Iterable, Iterator

import amqp
import pytest

from qt_events.events.topics import MOST_HASHES, RoutingIndex, matches
from tests.support.channels import channel_to

EXCHANGE = "routing.test"
# Content type of the last message of each queue.
END = "end"
KEY_WORDS = ("a", "b", "", "*", "#")
PATTERN_WORDS = ("a", "b", "", "*", "#", "a*")


def short(words: Iterable[str], most: int = 3) -> list[str]:
    """Return every text of at most so many of these words."""
    choices = itertools.chain.from_iterable(
        itertools.product(words, repeat=count) for count in range(most + 1)
    )
    return list(dict.fromkeys(".".join(choice) for choice in choices))


def longer(words: tuple[str, ...], count: int = 100) -> list[str]:
    """Return so many longer texts, the same in every run."""
    choose = random.Random(7)
    return list(
        dict.fromkeys(".".join(choose.choices(words, k=choose.randint(4, 8))) for _ in range(count))
    )


KEYS = [*short(KEY_WORDS), *longer(KEY_WORDS), "prix.modifié", "a" * 255]
# A queue takes RabbitMQ some 25 ms: of three words, a pattern has one literal that is not empty.
PATTERNS = list(
    dict.fromkeys(
        [*short(PATTERN_WORDS, 2), *short(("a", "", "*", "#")), *longer(PATTERN_WORDS, 30)]
    )
)
PATTERNS += ["prix.*", "*.modifié", "a" * 255]
# RabbitMQ 4.3 refuses to bind by the others.
PATTERNS = [each for each in PATTERNS if each.split(".").count("#") <= MOST_HASHES]


@pytest.fixture
def channel(amqp_url: str) -> Iterator[amqp.Channel]:
    """Open a channel in a new vhost with a topic exchange."""
    with channel_to(amqp_url) as channel:
        channel.exchange_declare(EXCHANGE, "topic", auto_delete=False)
        yield channel


def bound_queue(channel: amqp.Channel, *patterns: str) -> str:
    queue = str(channel.queue_declare("", exclusive=True).queue)
    for pattern in patterns:
        channel.queue_bind(queue, EXCHANGE, pattern)
    return queue


def routed(channel: amqp.Channel, queues: list[str], keys: list[str]) -> dict[str, list[str]]:
    """Publish a message with each key; return the keys that reached each queue."""
    for key in keys:
        channel.basic_publish(amqp.Message(""), EXCHANGE, key)
    reached: dict[str, list[str]] = {queue: [] for queue in queues}
    open_ends = set(queues)

    def receive(message: amqp.Message) -> None:
        queue = message.delivery_info["consumer_tag"]
        if message.properties.get("content_type") == END:
            open_ends.remove(queue)
        else:
            reached[queue].append(message.delivery_info["routing_key"])

    for queue in queues:
        channel.basic_publish(amqp.Message("", content_type=END), "", queue)
        channel.basic_consume(queue, consumer_tag=queue, no_ack=True, callback=receive)
    while open_ends:
        channel.connection.drain_events(timeout=30)
    return reached


def test_every_pattern_matches_the_keys_that_rabbitmq_routes_by_it(channel: amqp.Channel) -> None:
    """All short and some long patterns and keys agree, with empty words and stray wildcards."""
    queues = {pattern: bound_queue(channel, pattern) for pattern in PATTERNS}
    reached = routed(channel, list(queues.values()), KEYS)
    by_rabbitmq = {(pattern, key) for pattern, queue in queues.items() for key in reached[queue]}

    index: RoutingIndex[str] = RoutingIndex()
    for pattern in PATTERNS:
        index.add(pattern, pattern)
    assert by_rabbitmq == {
        (pattern, key) for pattern in PATTERNS for key in KEYS if matches(pattern, key)
    }
    assert by_rabbitmq == {(pattern, key) for key in KEYS for pattern in index.match(key)}


def test_a_queue_with_several_matching_bindings_gets_a_message_once(channel: amqp.Channel) -> None:
    """An event is delivered once to a subscription, and a value of the index is returned once."""
    queue = bound_queue(channel, "policy.updated", "policy.*", "#")
    assert routed(channel, [queue], ["policy.updated"]) == {queue: ["policy.updated"]}
