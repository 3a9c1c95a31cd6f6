"""Reader: consumes dead letters and puts the others back in order. Blocking, for one thread."""

from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from time import monotonic, sleep

import kombu
from amqp import Channel
from amqp import Connection as RawConnection
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import ChannelError, ConsumerCancelled, NotFound

from qt_events.delivery.telling.fates import Fate
from qt_events.errors import BrokerError, BrokerUnreachableError, UnknownSubscriptionError
from qt_events.rabbitmq.compat.acknowledgements import give_back
from qt_events.rabbitmq.connection.connections import ANSWER_TIMEOUT, LOST, visiting
from qt_events.rabbitmq.fates import tell_operators
from qt_events.rabbitmq.topology.names import Topology

_FIRST = 16  # messages of the first batch; each further one may be twice as large
# Bytes of bodies in a batch at most, if the next messages are as large as the last ones.
_HELD = 8_000_000
_SILENCE = 0.2  # seconds without a message before the queue is asked for its length
_RETURNED = 10.0  # seconds for a queue to show what was put back
_POLL = 0.005  # seconds between two questions for that

# A quorum queue of 3.10 shuffles more than 32 messages that are given back in one command (they
# pass through a map of Erlang's), and joins commands that follow each other: so the commands are
# small, and the queue is asked for its length now and then.
_TOGETHER = 32
_UNSEEN = 8


class Reader:
    """One pass through the dead letters there are at its start, on its own channel.

    Messages in hand are known by their delivery tags alone. Each batch has its own consumer,
    cancelled when it has sent as many as it may unacknowledged. Without a limit the broker would
    hold them all in memory for a slower client, and a quorum queue of 3.10 stops at 2,000 anyway;
    with one consumer for all, nothing more would come until some are acknowledged.
    """

    def __init__(self, connection: RawConnection, where: str, topology: Topology) -> None:
        self._connection, self._where, self._topology = connection, where, topology
        self._channel = self._open()
        self._left: deque[tuple[str, int]] = deque()  # subscriptions, and how many to consume
        self._held: dict[int, str] = {}  # delivery tag -> subscription, in order
        self._size = _FIRST
        self._consumers = 0
        self.total = 0  #: how many there were

    def begin(self, names: Sequence[str], *, must_exist: bool) -> None:
        """Count the dead letters of these subscriptions.

        Raises:
            UnknownSubscriptionError: one has no queue, and `must_exist`.
        """
        for name in names:
            waiting = self._waiting(name, must_exist=must_exist)
            self._left.append((name, waiting))
            self.total += waiting

    def take(self, most: int) -> tuple[str, Sequence[RawMessage]]:
        """Return a subscription and its next dead letters, at most `most`; none at the end."""
        with self._named():
            while self._left:
                name, left = self._left.popleft()
                wanted = min(left, most, self._size)
                raws = self._consume(self._topology.dead(name), wanted) if wanted else []
                # If there are fewer, somebody else consumes them too.
                if len(raws) == wanted < left:
                    self._left.appendleft((name, left - wanted))
                if raws:
                    self._hold(name, raws)
                    return name, raws
            return "", []

    def remove(self, tags: Collection[int]) -> None:
        """Acknowledge the messages with these delivery tags.

        By one command, if they are the first ones in hand: a channel of 3.10.8 delays commands from
        the 32nd on until the quorum queue answers, and forgets them when it closes, so that their
        messages would come back. Single ones have reached the queue when it shows what was put back
        after them, see `end`.
        """
        with self._named():
            if tags and set(tags) == set(islice(self._held, len(tags))):
                self._channel.basic_ack(max(tags), multiple=True)
            else:
                for tag in tags:
                    self._channel.basic_ack(tag)
        for tag in tags:
            del self._held[tag]

    def tell(self, fates: Sequence[Fate]) -> None:
        """Tell those who listen to fates what an operator did."""
        with self._named():
            tell_operators(self._connection, self._topology.fates, fates)

    def exists(self, queue: str) -> bool:
        """Return True if the broker has this queue."""
        return self._depth(queue) is not None

    def _depth(self, queue: str) -> int | None:
        # A channel of its own, for the broker closes it if there is no such queue.
        with self._named(), self._open() as channel:
            try:
                return int(self._topology.depth(channel, queue)[0])
            except NotFound:
                return None

    def end(self) -> None:
        """Put back what was not removed; return when the next scan finds it.

        A lost connection does that by itself.
        """
        with suppress(*LOST, ChannelError):
            self._put_back()
            self._channel.close()

    def _open(self) -> Channel:
        channel = self._connection.channel()
        channel.auto_decode = False
        return channel

    def _waiting(self, name: str, *, must_exist: bool) -> int:
        """Return the number of its dead letters; 0 if it has not had any yet."""
        if (waiting := self._depth(self._topology.dead(name))) is not None:
            return waiting
        if not must_exist or self.exists(self._topology.queue(name)):
            return 0
        raise UnknownSubscriptionError(
            f"there are no dead letters of {name!r}: no such subscription has been declared "
            f"under the prefix {self._topology.prefix!r}"
        )

    # Consume

    def _consume(self, queue: str, count: int) -> list[RawMessage]:
        raws: list[RawMessage] = []
        self._consumers += 1
        self._channel.basic_qos(0, count, a_global=False)
        tag = self._channel.basic_consume(
            queue, consumer_tag=f"dead-letters-{self._consumers}", callback=raws.append
        )
        empty_looks, deadline = 0, monotonic() + ANSWER_TIMEOUT
        # Twice, for messages that were on their way may come after its first answer.
        while len(raws) < count and empty_looks < 2:  # noqa: PLR2004
            before = len(raws)
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=_SILENCE)
            if len(raws) > before:
                empty_looks, deadline = 0, monotonic() + ANSWER_TIMEOUT
            elif self._topology.depth(self._channel, queue)[0] == 0:
                empty_looks += 1
            elif monotonic() > deadline:
                raise TimeoutError(f"queue {queue!r} has messages and sends none")
        self._channel.basic_cancel(tag)
        return raws

    def _hold(self, name: str, raws: Sequence[RawMessage]) -> None:
        self._held.update((raw.delivery_info["delivery_tag"], name) for raw in raws)
        largest = max(len(raw.body) for raw in raws)
        self._size = max(1, min(2 * self._size, _HELD // (largest or 1)))

    # Put back

    def _put_back(self) -> None:
        tags, returned, patient = list(self._held), Counter[str](), True
        for number, start in enumerate(range(0, len(tags), _TOGETHER), 1):
            together = tags[start : start + _TOGETHER]
            give_back(self._channel, together[-1])
            returned.update(self._held[tag] for tag in together)
            if patient and (number % _UNSEEN == 0 or together[-1] == tags[-1]):
                patient = all(self._has(name, count) for name, count in returned.items())
        self._held.clear()

    def _has(self, name: str, count: int) -> bool:
        """Return True once the queue has so many. Somebody else may consume them meanwhile."""
        deadline = monotonic() + _RETURNED
        while self._topology.depth(self._channel, self._topology.dead(name))[0] < count:
            if monotonic() > deadline:
                return False
            sleep(_POLL)
        return True

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except ConsumerCancelled as error:
            # RabbitMQ 4.3, for its consumer_timeout.
            raise BrokerError(
                f"{self._where} ended the look at the dead letters: it cancelled the consumer, for "
                "its consumer_timeout or because the queue was deleted. Run it again for the rest"
            ) from error
        except LOST as error:
            raise BrokerUnreachableError(
                f"no answer from {self._where} any more ({error}): is RabbitMQ running there? "
                "Run it again for the rest"
            ) from error
        except ChannelError as error:
            # Because of its consumer_timeout, for example: 30 minutes unless configured.
            raise BrokerError(
                f"{self._where} ended the look at the dead letters: {error.reply_text}. "
                "Run it again for the rest"
            ) from error


@contextmanager
def reading(connection: kombu.Connection, topology: Topology) -> Iterator[Reader]:
    """Open a Reader on this connection. BrokerUnreachableError if nobody answers."""
    with visiting(connection) as raw:
        reader = Reader(raw, connection.as_uri(), topology)
        try:
            yield reader
        finally:
            reader.end()
