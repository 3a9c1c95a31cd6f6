"""The parts of a backend: everything that a bus over another broker or store is made of.

docs/backends.md is the guide. The names, in the order in which an event meets them:

    Hosted           base of a bus: subscribe(), and `async with` from run_forever() and join()
    checked_event    the argument of publish(), with its cause
    Published        the result of publish(): CONFIRMED when the backend has the event safely
    Subscriptions    the subscribers of a bus, by name, by handler, by event type
    encode, decode   an event as bytes, and back
    Lanes            events in hand, a queue for each subscription, on one event loop
    DaemonThreads    threads for sync handlers
    MiddlewareStack  code of the user's around publishes and handlers, and observers
    deliver          one attempt: calls the handler and returns its outcome
    unreadable       the outcome of an event that `decode` refuses
    consequences     everything that a bus does about an outcome
    Attempts         the count to store with an event until its next attempt
    record_of        the record of an event that failed for good
    DeadLetterOperations, Scan, HeldDeadLetter   the calls for an operator, on top of a scan
    Stats            the counters behind get_stats()
    SlowHandlerLog   reports slow handlers to the log and to Stats
    Shutdown, State, Trigger, stopped_by_signals   the way from serving to ended: docs/shutdown.md
"""

from qt_events.bus import EventBus, Hosted, refuse_in_handler, refuse_on_event_loop
from qt_events.dead_letters.operations import DeadLetterOperations
from qt_events.dead_letters.record import DeadLetterRecord, record_of, record_of_event
from qt_events.dead_letters.scan import HeldDeadLetter, Scan
from qt_events.delivery.deliver import deliver
from qt_events.delivery.middleware import Attempt, MiddlewareStack
from qt_events.delivery.outcome import (
    FIRST,
    SKIPPED,
    Attempts,
    Consequences,
    DeadLetter,
    DeadLetterReason,
    Failure,
    GivenBack,
    Outcome,
    consequences,
    unreadable,
)
from qt_events.delivery.publishing.published import CONFIRMED, Published
from qt_events.delivery.stats import SlowHandlerLog, Stats
from qt_events.delivery.subscribing.handler_names import name_of
from qt_events.delivery.subscribing.subscription import (
    EventHandler,
    SubscriptionOptions,
    pattern_of,
)
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.delivery.threads import DaemonThreads
from qt_events.delivery.waiting.lanes import Lanes
from qt_events.events.cloudevents import CONTENT_TYPE, decode, encode
from qt_events.events.current import checked_event
from qt_events.shutdown import Shutdown, State, Trigger, stopped_by_signals

__all__ = [
    "CONFIRMED",
    "CONTENT_TYPE",
    "FIRST",
    "SKIPPED",
    "Attempt",
    "Attempts",
    "Consequences",
    "DaemonThreads",
    "DeadLetter",
    "DeadLetterOperations",
    "DeadLetterReason",
    "DeadLetterRecord",
    "EventBus",
    "EventHandler",
    "Failure",
    "GivenBack",
    "HeldDeadLetter",
    "Hosted",
    "Lanes",
    "MiddlewareStack",
    "Outcome",
    "Published",
    "Scan",
    "Shutdown",
    "SlowHandlerLog",
    "State",
    "Stats",
    "SubscriptionOptions",
    "Subscriptions",
    "Trigger",
    "checked_event",
    "consequences",
    "decode",
    "deliver",
    "encode",
    "name_of",
    "pattern_of",
    "record_of",
    "record_of_event",
    "refuse_in_handler",
    "refuse_on_event_loop",
    "stopped_by_signals",
    "unreadable",
]
