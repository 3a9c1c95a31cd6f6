"""qt_events: a typed event bus on Celery and RabbitMQ, and in memory.

The life of an event, and where to read about each part of it:

    bus.py           the EventBus Protocol, `async with bus`, create_event_bus(url)
    events/          Event: typed, validated, immutable; topics; CloudEvents
    delivery/        subscriptions, lanes, deliver(), the outcome, retries
    dead_letters/    what failed for good, and what an operator does with it
    backend.py       the parts that a backend is made of
    memory.py        InMemoryEventBus
    rabbitmq/        CeleryEventBus; beside testing/, the only room that imports celery
    history/         every event and its fate, kept and asked for
    outbox/          events added in the transaction of the rows they are about, and a spool
    databases/       what is about SQLite and PostgreSQL, whatever is kept in them
    shutdown.py      from serving to ended: stop(), signals, the grace period
    logs/            the event that is being handled, on every line that is logged
    log_lines.py     the old place of logs/formatters.py
    errors.py        every error, by whose fault it is
    event_loop.py    asyncio's running loop, or an error that says what to do
    limits.py        the numbers a user sets, checked
    texts.py         texts from elsewhere, bounded and on one line
    cli/             the command `qt-events`
    testing/         contract suite, brokers and clocks for tests
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qt_events.bus import EventBus, create_event_bus
from qt_events.delivery.batching.batches import BatchFailed
from qt_events.delivery.forwarding import Forwards
from qt_events.delivery.outcome import DEDUPLICATED
from qt_events.delivery.publishing.published import Published
from qt_events.delivery.redelivering import Redelivers
from qt_events.delivery.retry import NO_RETRY, Reject, RetryLater, RetryPolicy
from qt_events.delivery.subscribing.subscription import Component, EventHandler, Subscription
from qt_events.delivery.telling.fate_telling import TellsFates
from qt_events.delivery.telling.fates import Fate, FateOutcome
from qt_events.errors import (
    BackendError,
    BackpressureError,
    BrokerBlockedError,
    BrokerError,
    BrokerUnreachableError,
    BusStateError,
    BusyError,
    DecodeError,
    DuplicateEventError,
    DuplicateSubscriptionError,
    ForeignConsumersError,
    IncompleteDeadLetterError,
    InvalidBatchError,
    InvalidEventError,
    InvalidHandlerError,
    InvalidMiddlewareError,
    InvalidOptionError,
    InvalidPatternError,
    InvalidPayloadError,
    InvalidPolicyError,
    InvalidUrlError,
    LoginRefusedError,
    MessageError,
    NewerReleaseError,
    NewerVersionError,
    NoRecorderError,
    NotSupportedError,
    PoisonError,
    PublishNackedError,
    PublishRefusedError,
    PublishTimeoutError,
    QtEventsError,
    SpoolError,
    SpoolFileError,
    SpoolFullError,
    SpoolInUseError,
    SubscriptionTakenError,
    TopologyError,
    TypeMismatchError,
    UnknownDeadLetterError,
    UnknownHereError,
    UnknownSubscriptionError,
    UnknownValueError,
    UnroutableError,
    UsageError,
)
from qt_events.events.current import current_event
from qt_events.events.event import Event
from qt_events.events.payload import Payload
from qt_events.events.raw import RawEvent
from qt_events.logs.own_lines import guard_own_lines

if TYPE_CHECKING:
    from qt_events.dead_letters.filters import DeadLetterFilter
    from qt_events.dead_letters.record import DeadLetterRecord
    from qt_events.events.quantum_trader import (
        HealthStatus,
        HealthStatusChanged,
        HealthStatusChangedEvent,
        ModelPromoted,
        ModelPromotedEvent,
        OpportunitiesUpdated,
        OpportunitiesUpdatedEvent,
        PolicyUpdated,
        PolicyUpdatedEvent,
        RiskMode,
        Side,
        Stage,
        StrategyPromoted,
        StrategyPromotedEvent,
        TradeExecuted,
        TradeExecutedEvent,
    )
    from qt_events.logs.configure import EventFieldsFilter, configure_logging
    from qt_events.memory import InMemoryEventBus
    from qt_events.rabbitmq.bus import CeleryEventBus

__version__ = "0.1.0"

__all__ = [
    "DEDUPLICATED",
    "NO_RETRY",
    "BackendError",
    "BackpressureError",
    "BatchFailed",
    "BrokerBlockedError",
    "BrokerError",
    "BrokerUnreachableError",
    "BusStateError",
    "BusyError",
    "CeleryEventBus",
    "Component",
    "DeadLetterFilter",
    "DeadLetterRecord",
    "DecodeError",
    "DuplicateEventError",
    "DuplicateSubscriptionError",
    "Event",
    "EventBus",
    "EventFieldsFilter",
    "EventHandler",
    "Fate",
    "FateOutcome",
    "ForeignConsumersError",
    "Forwards",
    "HealthStatus",
    "HealthStatusChanged",
    "HealthStatusChangedEvent",
    "InMemoryEventBus",
    "IncompleteDeadLetterError",
    "InvalidBatchError",
    "InvalidEventError",
    "InvalidHandlerError",
    "InvalidMiddlewareError",
    "InvalidOptionError",
    "InvalidPatternError",
    "InvalidPayloadError",
    "InvalidPolicyError",
    "InvalidUrlError",
    "LoginRefusedError",
    "MessageError",
    "ModelPromoted",
    "ModelPromotedEvent",
    "NewerReleaseError",
    "NewerVersionError",
    "NoRecorderError",
    "NotSupportedError",
    "OpportunitiesUpdated",
    "OpportunitiesUpdatedEvent",
    "Payload",
    "PoisonError",
    "PolicyUpdated",
    "PolicyUpdatedEvent",
    "PublishNackedError",
    "PublishRefusedError",
    "PublishTimeoutError",
    "Published",
    "QtEventsError",
    "RawEvent",
    "Redelivers",
    "Reject",
    "RetryLater",
    "RetryPolicy",
    "RiskMode",
    "Side",
    "SpoolError",
    "SpoolFileError",
    "SpoolFullError",
    "SpoolInUseError",
    "Stage",
    "StrategyPromoted",
    "StrategyPromotedEvent",
    "Subscription",
    "SubscriptionTakenError",
    "TellsFates",
    "TopologyError",
    "TradeExecuted",
    "TradeExecutedEvent",
    "TypeMismatchError",
    "UnknownDeadLetterError",
    "UnknownHereError",
    "UnknownSubscriptionError",
    "UnknownValueError",
    "UnroutableError",
    "UsageError",
    "configure_logging",
    "create_event_bus",
    "current_event",
]


guard_own_lines()

# Imported when first asked for. Celery takes half a second, and importing the catalog registers its
# six events: a program that declares a `trade.executed` of its own must be able to do without them.
_MODULES = {
    "qt_events.dead_letters.filters": ("DeadLetterFilter",),
    "qt_events.dead_letters.record": ("DeadLetterRecord",),
    "qt_events.events.quantum_trader": (
        "HealthStatus", "HealthStatusChanged", "HealthStatusChangedEvent",
        "ModelPromoted", "ModelPromotedEvent", "OpportunitiesUpdated", "OpportunitiesUpdatedEvent",
        "PolicyUpdated", "PolicyUpdatedEvent", "RiskMode", "Side", "Stage",
        "StrategyPromoted", "StrategyPromotedEvent", "TradeExecuted", "TradeExecutedEvent",
    ),
    "qt_events.logs.configure": ("EventFieldsFilter", "configure_logging"),
    "qt_events.memory": ("InMemoryEventBus",),
    "qt_events.rabbitmq.bus": ("CeleryEventBus",),
}  # fmt: skip
_LAZY = {name: module for module, names in _MODULES.items() for name in names}


# Hidden from type checkers: they would take a misspelt name for one that this function knows.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first asked for."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value
