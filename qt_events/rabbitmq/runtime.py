"""Runtime: what the parts of one CeleryEventBus share.

The bus makes it, and no part below the bus knows the bus. `runtime_of(app)` gives it to what Celery
makes by itself: pools, consumers, command line options.
"""

import asyncio
import atexit
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from weakref import WeakSet

import celery
from amqp.exceptions import ChannelError

from qt_events.delivery.middleware import Attempt, MiddlewareStack
from qt_events.delivery.outcome import HANDLED, Outcome, consequences
from qt_events.delivery.stats import SlowHandlerLog, Stats
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.errors import BrokerError
from qt_events.rabbitmq.connection.connections import for_errands, for_long_errands, visiting
from qt_events.rabbitmq.connection.forking import renew_after_fork
from qt_events.rabbitmq.fates import FateTeller
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.messages.survived import SurvivedDeliveries
from qt_events.rabbitmq.messages.unacknowledged import UnacknowledgedEvents
from qt_events.rabbitmq.publishing.outstanding import Outstanding
from qt_events.rabbitmq.publishing.publisher import Publisher
from qt_events.rabbitmq.starting.feeder import Feeder
from qt_events.rabbitmq.starting.newcomers import Newcomers
from qt_events.rabbitmq.topology.declarations import Declarations
from qt_events.rabbitmq.topology.names import Topology

logger = logging.getLogger("qt_events")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Numbers that a user sets, already checked. See CeleryEventBus."""

    publish_timeout: float  #: seconds
    grace: float  #: seconds
    slow_after: float  #: seconds
    rollout: float  #: seconds
    max_workers: int  #: threads for sync handlers
    max_queue_size: int  #: publishes in flight
    spool_after: float  #: seconds
    app_is_users: bool  #: the app may have tasks of its author's


@dataclass(slots=True, weakref_slot=True, eq=False, kw_only=True)
class Runtime:
    """One bus in this process, without the methods that its user calls."""

    app: celery.Celery
    settings: Settings
    topology: Topology
    subscriptions: Subscriptions
    publisher: Publisher
    declarations: Declarations
    outstanding: Outstanding
    stats: Stats
    watch: SlowHandlerLog
    newcomers: Newcomers
    middleware: MiddlewareStack = field(default_factory=MiddlewareStack)
    fates: FateTeller = field(init=False)
    feeder: Feeder = field(init=False)
    #: The caller's loop while run_forever() runs.
    loop: asyncio.AbstractEventLoop | None = None
    survived: SurvivedDeliveries = field(default_factory=SurvivedDeliveries)
    unacknowledged: UnacknowledgedEvents = field(default_factory=UnacknowledgedEvents)

    def __post_init__(self) -> None:
        """Have what is shared renewed in forked children."""
        connect = partial(for_errands, self.app)
        about = (self.topology.fates, self.subscriptions, self.middleware)
        self.fates = FateTeller(connect, *about)
        self.feeder = Feeder(self.topology, partial(for_long_errands, self.app))
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Start anew in a forked child, as publisher, declarations and outstanding do."""
        self.stats.after_fork()
        self.subscriptions.after_fork()

    def leave(self) -> None:
        """Delete the queues of this process's broadcasts; the broker would in half an hour."""
        if not self.declarations.instances:
            return
        try:
            with visiting(for_errands(self.app)) as connection, connection.channel() as channel:
                self.declarations.delete_instances(channel)
        except (BrokerError, ChannelError) as error:
            logger.info("queues of this process's broadcasts are left to expire: %s", error)

    def concluded(self, envelope: Envelope, outcome: Outcome) -> None:
        """Count an attempt whose outcome is safe."""
        event_type = envelope.event_type
        self.stats.count_outcome(envelope.subscription, event_type, outcome)
        if self.middleware.concluded:
            event_id, source, seconds, replayed = envelope.observed()
            about = (event_id, event_type, envelope.subscription, envelope.attempt, outcome)
            self.middleware.tell_concluded(Attempt(*about, source, seconds, replayed))
        subscription = self.subscriptions.get(envelope.subscription)
        if outcome is not HANDLED and consequences(outcome).again_after is not None:
            self.outstanding.goes_again(envelope.event_id, subscription)
            return
        heard_by = self.subscriptions.match(event_type)
        if self.outstanding.settled(envelope.event_id, subscription, heard_by):
            self.stats.count_dispatched(event_type)

    def concluded_together(self, envelopes: Sequence[Envelope]) -> None:
        """Do what `concluded` does, for events of one subscription that were handled."""
        if self.middleware.concluded:
            for each in envelopes:
                self.concluded(each, HANDLED)
            return
        name = envelopes[0].subscription
        types = [each.event_type for each in envelopes]
        heard_by = {each: self.subscriptions.match(each) for each in set(types)}
        pairs = zip(envelopes, types, strict=True)
        events = [(each.event_id, heard_by[event_type]) for each, event_type in pairs]
        are_last = self.outstanding.settled_together(events, self.subscriptions.get(name))
        self.stats.count_handled(name, len(envelopes), Counter(compress(types, are_last)))


# The bus of each may be forgotten before.
_leaving: WeakSet[Runtime] = WeakSet()


def leave_at_exit(runtime: Runtime) -> None:
    """Have it leave at the end of this process, if nobody closes its bus."""
    _leaving.add(runtime)


@atexit.register
def _leave() -> None:
    for runtime in tuple(_leaving):
        runtime.leave()


def runtime_of(app: celery.Celery) -> Runtime | None:
    """Return the runtime of the app's bus, None for an app without a bus."""
    return getattr(app, "qt_events_runtime", None)
