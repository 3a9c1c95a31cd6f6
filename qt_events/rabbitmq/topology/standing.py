"""Standing: the subscriptions of a process on the broker, declared together and once."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Any, NamedTuple, Protocol

from amqp import Channel
from amqp import Connection as RawConnection

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import TopologyError
from qt_events.rabbitmq.topology.batches import NEW, STANDING, batches
from qt_events.rabbitmq.topology.known import Known
from qt_events.rabbitmq.topology.names import Topology

logger = logging.getLogger("qt_events")

_NEWS = 5.0  # seconds of declaring between two lines about it in the log
_SHARED = "shared objects"  # a name in what is Known that no subscription can have


class Wanted(NamedTuple):
    """A subscription as it is to stand on the broker."""

    subscription: Subscription
    key: str
    served: bool
    lasting: bool  #: with its dead letters and its quarantine; else they are made when needed
    patterns: tuple[str, ...]  #: when it was planned: it may get others while it is declared

    @property
    def name(self) -> str:
        return self.subscription.name

    @property
    def how(self) -> tuple[object, ...]:
        """Part of a subscription that makes a difference on the broker."""
        return self.key, self.patterns, self.served, self.lasting


class Newcomers(Protocol):
    """Subscriptions that begin with events of the past; see starting/newcomers.py."""

    def beginning(
        self, channel: Channel, subscriptions: Sequence[Subscription]
    ) -> AbstractContextManager[None]:
        """Return what begins the start of those that do not stand, while they are declared."""

    def consume(self, queue: Any, arrived: Any) -> Any:
        """Consume old events in place of a queue that is in its past; see SubscriptionQueue."""


class NoNewcomers:
    """Newcomers of a bus that has none."""

    def beginning(self, *_: object) -> AbstractContextManager[None]:
        """See Newcomers."""
        return nullcontext()

    def consume(self, _queue: Any, arrived: Any) -> Any:
        """See Newcomers."""
        return arrived


NO_NEWCOMERS = NoNewcomers()


class Standing:
    """Subscriptions on the broker. All that binds or unbinds goes through it, so it knows them.

    `must_own` raises TopologyError for a subscription that is another service's.
    """

    def __init__(
        self,
        topology: Topology,
        must_own: Callable[[Subscription], None],
        newcomers: Newcomers = NO_NEWCOMERS,
    ) -> None:
        self._topology, self._must_own = topology, must_own
        self._newcomers = newcomers
        self.after_fork()

    def after_fork(self) -> None:
        """Know nothing: connections are the parent's."""
        self._known = Known()
        self.progress = ""  #: how far subscriptions are declared; empty if none is just now
        self.instances: set[str] = set()  #: queues of broadcasts that this process declared

    def has(self, wanted: Wanted, connection: RawConnection) -> bool:
        """Return True if it stands. What is declared to be served does for a publisher, too."""
        served = wanted._replace(served=True)
        return any(self._known.has(each.name, each.how, connection) for each in (wanted, served))

    def declare_base(self, channel: Channel) -> None:
        """Declare the exchange of events, which is also the first of the shared objects."""
        with self._known.lock:
            if not self._known.has(_SHARED, None, channel.connection):
                self._topology.declare_base(channel)

    def declare(
        self,
        channel: Channel,
        wanted: Sequence[Wanted],
        alone: Callable[[Channel, Wanted], None],
        *,
        known: bool,
    ) -> Iterator[Sequence[Wanted]]:
        """Declare what does not stand, in batches, and yield each batch that does.

        `alone` declares one after the other where the broker refuses something. `known`: most of it
        has been declared before, which takes less time.
        """
        told, done = monotonic(), 0
        try:
            for batch in batches(wanted, STANDING if known else NEW):
                self.progress = f"subscriptions (declaring {done + 1} of {len(wanted)})"
                if monotonic() - told > _NEWS:
                    told = monotonic()
                    logger.info("declaring %d of %d subscriptions", done + 1, len(wanted))
                # Others have their turn between two batches.
                with self._known.lock:
                    self._declare_batch(channel, batch, alone)
                channel.connection.heartbeat_tick()
                done += len(batch)
                yield batch
        finally:
            self.progress = ""

    def _declare_batch(
        self,
        channel: Channel,
        batch: Iterable[Wanted],
        alone: Callable[[Channel, Wanted], None],
    ) -> None:
        new = [each for each in batch if not self.has(each, channel.connection)]
        if not new:
            return
        newcomers = self._newcomers.beginning(channel, [each.subscription for each in new])
        with newcomers, self._topology.turn_to_bind(channel):
            if self._declare_at_once(channel, new):
                return
            self.declare_base(channel)
            for each in new:
                alone(channel, each)

    def _declare_at_once(self, channel: Channel, wanted: Sequence[Wanted]) -> bool:
        """Return False if one of them must not or cannot be declared."""
        try:
            for each in wanted:
                self._must_own(each.subscription)
        except TopologyError:
            return False
        connection = channel.connection
        self._note_instances(wanted)
        shared = not self._known.has(_SHARED, None, connection)
        if not self._topology.declare_at_once(
            channel, [each[:4] for each in wanted], shared=shared
        ):
            return False
        self._note(wanted, connection)
        return True

    def declare_alone(self, channel: Channel, wanted: Wanted) -> None:
        """Declare one. TopologyError: it must not or cannot be."""
        self._must_own(wanted.subscription)
        self._note_instances([wanted])
        self._topology.declare_subscription(
            channel,
            wanted.subscription,
            wanted.key,
            served=wanted.served,
            lasting=wanted.lasting,
            shared=not self._known.has(_SHARED, None, channel.connection),
        )
        self._note([wanted], channel.connection)

    def _note(self, wanted: Iterable[Wanted], connection: RawConnection) -> None:
        self._known.note(_SHARED, None, connection)
        for each in wanted:
            self._known.note(each.name, each.how, connection)

    def _note_instances(self, wanted: Iterable[Wanted]) -> None:
        for each in wanted:
            if each.subscription.broadcast:
                self.instances.add(self._topology.queue(each.key))

    def unbind(self, channel: Channel, wanted: Wanted, pattern: str) -> None:
        """Remove a binding."""
        with self._known.lock, self._topology.turn_to_bind(channel):
            self._topology.unbind(channel, wanted.key, pattern)
            self._known.drop(wanted.name)

    def delete_instances(self, channel: Channel) -> None:
        """Delete the queues of this process's broadcasts, which are declared again if need be."""
        for queue in tuple(self.instances):
            channel.queue_delete(queue)
            self.instances.discard(queue)
        self.forget()

    def drop(self, name: str) -> None:
        """Have a subscription declared again before it is relied on."""
        self._known.drop(name)

    def forget(self) -> None:
        """Have everything declared again: something is gone, though the connection stands."""
        self._known.forget()
