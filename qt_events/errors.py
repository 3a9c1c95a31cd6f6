"""Every error of qt_events, sorted by whose fault it is.

`UsageError`       you: a wrong argument, at the place where it was given; nothing was sent
`MessageError`     the producer of a message that arrived and cannot be handled; it becomes a dead letter
`BrokerError`      the world: the broker is away, blocked, silent or refuses; publishing the same event again is safe
`BusyError`        nobody: the bus holds as much as it may
`UnroutableError`  nobody: the event was taken, and no subscription hears it
"""


class QtEventsError(Exception):
    """The root of the tree: catch it to catch whatever this library raises by itself."""


# You


class UsageError(QtEventsError, ValueError):
    """A call that cannot mean anything; the text says what to write instead."""


class InvalidEventError(UsageError):
    """An event with a wrong type, time, id, source or version."""


class InvalidPayloadError(InvalidEventError):
    """A payload of the wrong shape, or with something in it that JSON cannot carry."""


class DuplicateEventError(UsageError):
    """Two event classes for one type and version."""


class InvalidPatternError(UsageError):
    """A malformed topic pattern or event type."""


class InvalidPolicyError(UsageError):
    """A retry policy, or a handler's own delay, out of its range."""


class InvalidOptionError(UsageError):
    """An option of a bus or a subscription that is unknown or out of its range: a limit, a timeout, a prefix."""


class InvalidHandlerError(UsageError, TypeError):
    """A handler that cannot be called with one event, or that has no name of its own."""


class InvalidMiddlewareError(UsageError, TypeError):
    """Middleware without a method that a bus calls, or one that does not await call_next()."""


class DuplicateSubscriptionError(UsageError):
    """A subscription name that another handler has taken."""


class UnknownSubscriptionError(UsageError):
    """A subscription that this bus does not know."""


class UnknownDeadLetterError(UsageError):
    """A dead letter that is not there, or not any more."""


class IncompleteDeadLetterError(UsageError):
    """A dead letter that cannot be sent back: it was too large, and only the beginning of its body was kept."""


class InvalidUrlError(UsageError):
    """A URL whose scheme no backend serves, or that is malformed."""


class BackendError(UsageError):
    """A backend that cannot be imported, or a URL scheme that several installed packages serve."""


class NotSupportedError(UsageError):
    """Something that this backend or worker pool cannot do, with what to use instead."""


class BusStateError(UsageError, RuntimeError):
    """A call at the wrong time: the bus is stopped, or already running."""


class ForeignConsumersError(BusStateError):
    """`join()` cannot know: other processes serve some of the subscriptions too."""


# The producer of a message


class MessageError(QtEventsError):
    """A message that arrived and cannot be handled."""


class DecodeError(MessageError):
    """The body or a property cannot be read, or the payload does not fit its event class."""


class TypeMismatchError(MessageError):
    """The event's type differs from the routing key that brought it."""


class PoisonError(MessageError):
    """The message came back again and again without an outcome, at last while handled alone."""


# The world


class BrokerError(QtEventsError):
    """The broker did not do its part. What was being published may or may not have arrived."""


class PublishTimeoutError(BrokerError, TimeoutError):
    """No confirm within `publish_timeout`; the text says why. Publish the same event again: its id stays."""


class BrokerUnreachableError(PublishTimeoutError):
    """Nobody answers at the broker's address."""


class LoginRefusedError(BrokerError):
    """The broker knows no such user, password or virtual host, or does not let this user in."""


class BrokerBlockedError(PublishTimeoutError):
    """The broker takes no publishes: an alarm for memory or disk is on, or was for a part of `publish_timeout`."""


class PublishRefusedError(BrokerError):
    """The broker closed the channel over a publish, or could not store it (nack), as often as it was tried."""


class TopologyError(BrokerError):
    """A queue or exchange on the broker differs from what is declared; the text says which and how."""


# Nobody


class BusyError(QtEventsError):
    """The bus holds as much as it may."""


class BackpressureError(BusyError, TimeoutError):
    """The bus stayed full for `publish_timeout`; the text names the slowest subscription."""


class UnroutableError(QtEventsError):
    """Nobody hears the event, and its publisher asked for somebody. Publishing it again does not help: subscribe."""


# In words


def name_of_type(error: BaseException) -> str:
    """The exception's type, with its module unless it is a builtin."""
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def text_of(error: BaseException) -> str:
    """The exception's text."""
    try:
        return str(error)
    except Exception as unprintable:  # noqa: BLE001  # a handler's own exception class may break here too
        return f"(its text cannot be read: {type(unprintable).__name__})"
