"""Reader: takes dead letters out of their queues, and puts back in order what was not removed. Blocking; one thread."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from time import monotonic, sleep

import kombu
from amqp import Channel
from amqp import Connection as RawConnection
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import ChannelError, NotFound

from qt_events.errors import BrokerError, BrokerUnreachableError, UnknownSubscriptionError
from qt_events.rabbitmq.connection.connections import ANSWER_TIMEOUT, LOST, visiting
from qt_events.rabbitmq.topology.names import Topology

_FIRST = 16  # messages of the first batch; each further one may be twice as large
_HELD = 8_000_000  # bytes of bodies that a batch should hold at most, if the next ones are as large as the last
_SILENCE = 0.2  # seconds without a message before the queue is asked whether there are more
_RETURNED = 10.0  # seconds for a queue to have what was put back into it
_POLL = 0.005  # seconds between two looks at that

# What is given back in one command to a quorum queue of 3.10 comes back shuffled from 33 on (a map of Erlang's), and
# commands that follow each other unseen are joined: so small ones, and a look now and then.
_TOGETHER = 32
_UNSEEN = 8
_NACK = (60, 120)  # basic.nack, RabbitMQ's; py-amqp has no method for it


@dataclass(frozen=True, slots=True)
class Taken:
    """A dead letter in our hands."""

    subscription: str
    tag: int
    raw: RawMessage


class Reader:
    """One pass through the dead letters there are at its start, on a channel of its own.

    What was taken and not removed is held by its delivery tag alone. A consumer a batch, cancelled when it has sent
    as many as it may unacknowledged: without a limit the broker would hold them all in memory for a client that is
    slower, and a quorum queue of 3.10 stops at 2,000 anyway; with one that stays, nothing more comes until some are
    acknowledged.
    """

    def __init__(self, connection: RawConnection, where: str, topology: Topology) -> None:
        self._connection, self._where, self._topology = connection, where, topology
        self._channel = self._open()
        self._left: deque[tuple[str, int]] = deque()  # subscriptions, and how many to take
        self._held: dict[int, str] = {}  # delivery tags, and whose they are; in order
        self._size = _FIRST
        self._consumers = 0
        self.total = 0  #: how many there were

    def begin(self, names: Sequence[str], *, must_exist: bool) -> None:
        """Count what these subscriptions have. UnknownSubscriptionError for one without a queue, if it must exist."""
        for name in names:
            waiting = self._waiting(name, must_exist=must_exist)
            self._left.append((name, waiting))
            self.total += waiting

    def take(self, most: int) -> list[Taken]:
        """The next ones, at most so many; none at the end."""
        with self._named():
            while self._left:
                name, left = self._left.popleft()
                wanted = min(left, most, self._size)
                raws = self._consume(self._topology.dead(name), wanted) if wanted else []
                if len(raws) == wanted < left:  # fewer: somebody else takes them too
                    self._left.appendleft((name, left - wanted))
                if raws:
                    return self._noted(name, raws)
            return []

    def remove(self, taken: Sequence[Taken]) -> None:
        """They are no dead letters any more.

        If all that is held before them goes too, by one command. A channel keeps what a quorum queue has not answered
        yet to itself from 32 commands on, and forgets it when it closes (3.10.8): those would come back. Of single ones
        the queue has heard when it shows what was put back after them, see `end`.
        """
        tags = {each.tag for each in taken}
        with self._named():
            if tags and tags == set(islice(self._held, len(tags))):
                self._channel.basic_ack(max(tags), multiple=True)
            else:
                for tag in tags:
                    self._channel.basic_ack(tag)
        for tag in tags:
            del self._held[tag]

    def stands(self, queue: str) -> bool:
        """Whether there is such a queue."""
        with self._named(), self._open() as channel:
            try:
                self._topology.depth(channel, queue)
            except NotFound:
                return False
            return True

    def end(self) -> None:
        """Put back what was not removed; return when the next look finds it. A lost connection does it by itself."""
        with suppress(*LOST, ChannelError):
            self._put_back()
            self._channel.close()

    def _open(self) -> Channel:
        channel = self._connection.channel()
        channel.auto_decode = False
        return channel

    def _waiting(self, name: str, *, must_exist: bool) -> int:
        with self._named(), self._open() as channel:  # its own: a queue that is not there closes it
            try:
                return int(self._topology.depth(channel, self._topology.dead(name))[0])
            except NotFound:
                if not must_exist:
                    return 0
        message = (
            f"there are no dead letters of {name!r}: no such subscription has been declared "
            f"under the prefix {self._topology.prefix!r}"
        )
        raise UnknownSubscriptionError(message)

    # Take

    def _consume(self, queue: str, count: int) -> list[RawMessage]:
        raws: list[RawMessage] = []
        self._consumers += 1
        self._channel.basic_qos(0, count, a_global=False)
        tag = self._channel.basic_consume(
            queue, consumer_tag=f"dead-letters-{self._consumers}", callback=raws.append
        )
        empty_looks, deadline = 0, monotonic() + ANSWER_TIMEOUT
        while len(raws) < count and empty_looks < 2:  # noqa: PLR2004  # what it had sent may come after its first answer
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

    def _noted(self, name: str, raws: Sequence[RawMessage]) -> list[Taken]:
        taken = [Taken(name, raw.delivery_info["delivery_tag"], raw) for raw in raws]
        self._held.update((each.tag, each.subscription) for each in taken)
        largest = max(len(raw.body) for raw in raws)
        self._size = max(1, min(2 * self._size, _HELD // (largest or 1)))
        return taken

    # Put back

    def _put_back(self) -> None:
        tags, returned, patient = list(self._held), Counter[str](), True
        for number, start in enumerate(range(0, len(tags), _TOGETHER), 1):
            together = tags[start : start + _TOGETHER]
            multiple, requeue = True, True
            self._channel.send_method(_NACK, "Lbb", (together[-1], multiple, requeue))
            returned.update(self._held[tag] for tag in together)
            if patient and (number % _UNSEEN == 0 or together[-1] == tags[-1]):
                patient = all(self._has(name, count) for name, count in returned.items())
        self._held.clear()

    def _has(self, name: str, count: int) -> bool:
        """Whether the queue has so many, soon; not if somebody else takes them."""
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
        except LOST as error:
            message = f"no answer from {self._where} any more ({error}): is RabbitMQ running there? Run it again for the rest"
            raise BrokerUnreachableError(message) from error
        except ChannelError as error:
            # Its consumer_timeout, 30 minutes unless configured, for one.
            message = f"{self._where} ended the look at the dead letters: {error.reply_text}. Run it again for the rest"
            raise BrokerError(message) from error


@contextmanager
def reading(connection: kombu.Connection, topology: Topology) -> Iterator[Reader]:
    """A reader on a connection of its own. BrokerUnreachableError if there is none."""
    with visiting(connection) as raw:
        reader = Reader(raw, connection.as_uri(), topology)
        try:
            yield reader
        finally:
            reader.end()
