"""All errors of qt_events, sorted by whose fault it is.

`UsageError`       you: a wrong argument, at the place where it was given; nothing was sent
`MessageError`     the producer of a message that cannot be handled; it becomes a dead letter
`BrokerError`      the world: the broker is away, blocked, silent or refuses; publishing the same
                   event again is safe
`SpoolError`       the world: the local disk, where events wait for the broker; the same holds
`BusyError`        nobody: the bus holds as much as it may
`UnroutableError`  nobody: the event was taken, and no subscription hears it
"""

import traceback

from qt_events.texts import LONGEST_NAME, LONGEST_TRACEBACK, shortened


class QtEventsError(Exception):
    """Root of all errors that this library raises by itself."""


# You


class UsageError(QtEventsError, ValueError):
    """Call that cannot mean anything; the text says what to write instead."""


class InvalidEventError(UsageError):
    """Event with a wrong type, time, id, source or version."""


class InvalidPayloadError(InvalidEventError):
    """Payload of the wrong shape, or with something in it that JSON cannot carry."""


class NewerVersionError(InvalidEventError):
    """Event of a newer version than any that is registered here."""


class UnknownValueError(InvalidPayloadError):
    """Payload with nothing wrong but values that its class does not list, or fields it forbids."""


class DuplicateEventError(UsageError):
    """Two event classes for one type and version."""


class InvalidPatternError(UsageError):
    """Malformed topic pattern or event type."""


class InvalidPolicyError(UsageError):
    """Retry policy, or a handler's own delay, out of its range."""


class InvalidOptionError(UsageError):
    """Option of a bus or a subscription that is unknown or out of its range."""


class InvalidHandlerError(UsageError, TypeError):
    """Handler that cannot be called with one event, or that has no name of its own."""


class InvalidBatchError(UsageError):
    """BatchFailed with something else than errors by the ids of events in its batch."""


class InvalidMiddlewareError(UsageError, TypeError):
    """Middleware without a method that a bus calls, or one that does not await call_next()."""


class DuplicateSubscriptionError(UsageError):
    """Subscription name that another handler has taken, or that has other options."""


class UnknownSubscriptionError(UsageError):
    """Subscription that this bus does not know."""


class UnknownDeadLetterError(UsageError):
    """Dead letter that is not there, or not any more."""


class IncompleteDeadLetterError(UsageError):
    """Dead letter that cannot be sent back: only the beginning of its body was kept."""


class InvalidUrlError(UsageError):
    """URL that is malformed, or whose scheme no backend serves."""


class BackendError(UsageError):
    """Backend that cannot be imported, or URL scheme that several installed packages serve."""


class NotSupportedError(UsageError):
    """Call that this backend or worker pool cannot do; the text says what to use instead."""


class NoRecorderError(UsageError):
    """New subscription that is to begin with old events, and no history records any."""


class BusStateError(UsageError, RuntimeError):
    """Call at the wrong time: the bus is closed, stopped, or already running."""


class ForeignConsumersError(BusStateError):
    """`join()` cannot know: other processes serve some of the subscriptions too."""


# The producer of a message


class MessageError(QtEventsError):
    """Message that arrived and cannot be handled."""


class DecodeError(MessageError):
    """Message whose body or property cannot be read, or whose payload does not fit its class."""


class NewerReleaseError(DecodeError):
    """Message that this release cannot read, though a newer one may."""


class UnknownHereError(MessageError):
    """Message by a binding that this release of the subscription does not have."""


class TypeMismatchError(MessageError):
    """Message whose event type differs from the routing key that brought it."""


class PoisonError(MessageError):
    """Message that came back again and again without an outcome, at last while handled alone."""


# The world


class BrokerError(QtEventsError):
    """Broker that did not do its part. The event that was being published may have arrived."""


class PublishTimeoutError(BrokerError, TimeoutError):
    """Publish without a confirm within `publish_timeout`; the text says why.

    Publish the same event again: its id stays.
    """


class BrokerUnreachableError(PublishTimeoutError):
    """Broker's address at which nobody answers."""


class LoginRefusedError(BrokerError):
    """User, password or virtual host that the broker does not know or does not let in."""


class BrokerBlockedError(PublishTimeoutError):
    """Broker that takes no publishes: an alarm for memory or disk is on, or was on meanwhile."""


class PublishRefusedError(BrokerError):
    """Publish that the broker refused as often as it was tried.

    The broker closed the channel over it, or could not store it (nack).
    """


class PublishNackedError(PublishRefusedError):
    """Publish that the broker could not store: a queue is full, or has lost its majority."""


class TopologyError(BrokerError):
    """Queue or exchange on the broker that differs from its declaration; the text says how."""


class SubscriptionTakenError(TopologyError):
    """Subscription that another service has declared, with another handler; the text names both."""


class SpoolError(QtEventsError):
    """Spool that did not do its part. The event that was being published may have arrived."""


class SpoolFileError(SpoolError):
    """File of a spool that cannot be opened, read or written, or that is not a spool's."""


class SpoolInUseError(SpoolError):
    """Spool of which so many processes have a file that there is none for one more."""


# Nobody


class BusyError(QtEventsError):
    """Bus that holds as much as it may."""


class BackpressureError(BusyError, TimeoutError):
    """Bus that stayed full for `publish_timeout`; the text names the slowest subscription."""


class SpoolFullError(SpoolError, BusyError):
    """Spool, or the disk that it is on, without room for the event."""


class UnroutableError(QtEventsError):
    """Event that nobody hears, published with `mandatory`: subscribe, then publish it again."""


# In words


def name_of_type(error: BaseException) -> str:
    """Return the exception's type, with its module unless it is a builtin; bounded."""
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return shortened(f"{module}{kind.__qualname__}", LONGEST_NAME)


def text_of(error: BaseException) -> str:
    """Return the exception's text, bounded: some hold a whole answer or a whole payload."""
    try:
        return shortened(str(error))
    except Exception as unprintable:  # noqa: BLE001  # a class of the handler's may break here too
        return f"(its text cannot be read: {type(unprintable).__name__})"


def traceback_of(error: BaseException) -> str:
    """Return the exception's traceback with its causes, each text in it bounded, and all of it."""
    try:
        parts = traceback.format_exception(error)
    except Exception as unprintable:  # noqa: BLE001  # the same
        return f"(its traceback cannot be read: {type(unprintable).__name__})"
    return shortened("".join(map(_shortened_part, parts)), LONGEST_TRACEBACK)


def _shortened_part(part: str) -> str:
    short = shortened(part)
    return short if short.endswith("\n") else f"{short}\n"
