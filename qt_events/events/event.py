"""Event: what happened, typed, validated, immutable; and the registry from type and version to class.

A user's own event is three lines::

    class PriceAlert(Payload):
        price: float
    class PriceAlertEvent(Event[PriceAlert], type="price.alert"): ...
"""

import builtins
import os
import sys
from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, NoReturn, Self, cast, get_args

from pydantic import ValidationError
from typing_extensions import TypeVar
from uuid_utils import reseed_rng, uuid7

from qt_events.errors import DuplicateEventError, InvalidEventError, InvalidPayloadError
from qt_events.events.frozen import freeze, shown
from qt_events.events.payload import Payload, validated, wrong_fields
from qt_events.events.topics import MAX_BYTES, validate_routing_key
from qt_events.limits import positive_int

os.register_at_fork(after_in_child=reseed_rng)  # else every prefork child draws the same ids

DEFAULT_SOURCE = "qt_events"
_MAX_VERSION = 2**31 - 1  # a CloudEvents Integer

P = TypeVar("P", bound=Mapping[str, Any], default=Any)

_new, _set = object.__new__, object.__setattr__  # the only way to set an attribute of an event
_MAKING = ("__init__", "__new__")
_HOW_TO_CREATE = "{}.create() takes the payload's fields by name, on a class with a type"


class Event(Generic[P]):
    """What happened: a type to route by, a time, a payload; and where it came from.

    Args:
        type: words separated by dots, e.g. ``policy.updated``; at most 255 bytes, no wildcards.
        timestamp: when it happened; a naive time is read as UTC; now if left out.
        payload: a mapping that JSON can carry. Where a class is registered for the type, its model validates it,
            and the event is made an instance of that class.
        id: unique per source; a UUIDv7 if left out. Publish the same event again to repeat safely: the id stays.
        source: who says so (CloudEvents `source`).
        correlation_id: the id of the event that everything began with; its own id if left out.
        causation_id: the id of the event whose handler made this one.
        data_version: version of the payload's shape; the newest registered one (else 1) if left out.
        traceparent: W3C trace context, carried along untouched.

    Raises:
        InvalidEventError, InvalidPayloadError, InvalidPatternError: here, where the mistake was made.

    `correlation_id` and `causation_id` of what a handler publishes are set by the bus when they were left out.
    """

    event_type: ClassVar[str] = ""  #: the type that a subclass is registered for
    event_version: ClassVar[int] = 1
    event_source: ClassVar[str] = DEFAULT_SOURCE
    payload_model: ClassVar["builtins.type[Payload] | None"] = None
    _plain_model: ClassVar["builtins.type[Payload] | None"] = (
        None  # with which create() need not call __init__
    )

    # An event has these four itself, and of the others what its class does not say: that makes most of them cheap.
    type: str
    timestamp: datetime
    payload: P
    id: str

    source: str = event_source
    data_version: int = event_version
    _correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None

    def __init_subclass__(
        cls, type: str = "", version: int = 1, source: str = "", **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.payload_model = _declared_payload_model(cls) or cls.payload_model
        cls.event_source = source or cls.event_source
        if type:
            cls.event_type, cls.event_version = validate_routing_key(type), version
            _register(cls)
        cls.source, cls.data_version = cls.event_source, cls.event_version
        has_own_way = any(
            name in vars(each)
            for each in cls.__mro__[: cls.__mro__.index(Event)]
            for name in _MAKING
        )
        cls._plain_model = cls.payload_model if cls.event_type and not has_own_way else None

    def __new__(
        cls, type: object = "", *_: Any, data_version: int | None = None, **__: Any
    ) -> Self:
        made = event_class(type, data_version) if cls is Event and isinstance(type, str) else None
        return object.__new__(cast("builtins.type[Self]", made) if made else cls)

    def __init__(
        self,
        type: str,
        timestamp: datetime | None = None,
        payload: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        source: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        data_version: int | None = None,
        traceparent: str | None = None,
    ) -> None:
        _set(self, "type", self._checked_type(type))
        _set(self, "payload", self._checked_payload(payload))
        _set(self, "timestamp", _utc(timestamp))
        _set(self, "id", new_id() if id is None else _text("id", id))
        envelope = {
            "source": source,
            "correlation_id": correlation_id,
            "causation_id": causation_id,
            "data_version": data_version,
            "traceparent": traceparent,
        }
        self._seal(**{name: value for name, value in envelope.items() if value is not None})

    def _seal(self, **envelope: object) -> None:
        """Set attributes of the envelope, each checked."""
        for name, value in envelope.items():
            attribute, check = _ENVELOPE[name]
            _set(self, attribute, check(value))
        if self._correlation_id == self.id:  # that says nothing: everything began with itself
            _set(self, "_correlation_id", None)

    @classmethod
    def create(cls, *args: Any, **payload: Any) -> Self:
        """The event with this payload, now. InvalidPayloadError names each wrong field."""
        if args:
            raise InvalidEventError(_HOW_TO_CREATE.format(cls.__name__))
        return cls._of(payload)

    @classmethod
    def _of(cls, payload: dict[str, Any]) -> Self:
        """`create`, for classes that spell its parameters out."""
        model = cls._plain_model
        if model is None:
            if not cls.event_type:
                raise InvalidEventError(_HOW_TO_CREATE.format(cls.__name__))
            return cls(cls.event_type, None, payload)
        # As __init__ does it, in one pass over what is known to be right but for the payload.
        event = _new(cls)
        own = event.__dict__
        own["type"] = cls.event_type
        try:
            own["payload"] = model.__pydantic_validator__.validate_python(payload)
        except ValidationError as error:
            raise wrong_fields(error, cls) from None
        own["timestamp"] = datetime.now(UTC)
        own["id"] = str(uuid7())
        return event

    @property
    def correlation_id(self) -> str:
        """The id of the event that everything began with: its own where nothing caused it."""
        return self._correlation_id or self.id

    @property
    def is_root(self) -> bool:
        """Nobody has said what caused it."""
        return self._correlation_id is None and self.causation_id is None

    def caused_by(self, cause: "Event[Any]") -> Self:
        """This event, same id, as a consequence of `cause`."""
        return self.replace(correlation_id=cause.correlation_id, causation_id=cause.id)

    def replace(self, **changes: Any) -> Self:
        """A copy with other envelope attributes, checked as when one is made; type and payload stay as they are."""
        for name in changes.keys() - _ENVELOPE.keys():
            message = f"replace() changes the envelope, not {name!r}: {', '.join(_ENVELOPE)}"
            raise InvalidEventError(message)
        copy = object.__new__(builtins.type(self))
        for name, value in vars(self).items():
            _set(copy, name, value)
        copy._seal(**changes)
        return copy

    def _checked_type(self, type: object) -> str:
        expected = self.event_type
        if expected and type != expected:
            message = f"{builtins.type(self).__name__} is the event {expected!r}, not {type!r}: use .create(...)"
            raise InvalidEventError(message)
        return expected or validate_routing_key(type)

    def _checked_payload(self, payload: object) -> Any:
        model = self.payload_model
        if model is not None:
            return validated(model, {} if payload is None else payload, builtins.type(self))
        if payload is not None and not isinstance(payload, Mapping):
            message = f"the payload of {self.type!r} is a {builtins.type(payload).__name__}: it must be a mapping"
            raise InvalidPayloadError(message)
        return freeze(payload or {})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        message = f"an event is immutable: {name} of {self.type!r} cannot change; make a copy with replace()"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def _state(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in _ATTRIBUTES)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self._state() == other._state()

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        kind, time = builtins.type(self).__name__, self.timestamp.isoformat()
        return f"{kind}({self.type!r}, {time}, {self.payload!r}, id={self.id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (builtins.type(self), self._state())


def _unpickle(cls: type[Event[Any]], state: tuple[Any, ...]) -> Event[Any]:
    event = object.__new__(cls)
    for name, value in zip(_ATTRIBUTES, state, strict=True):
        _set(event, name, value)
    return event


def new_id() -> str:
    """A UUIDv7 (RFC 9562): unique, and sorted by time of making."""
    return str(uuid7())


def _utc(timestamp: object) -> datetime:
    if timestamp is None:
        return datetime.now(UTC)
    if not isinstance(timestamp, datetime):
        message = f"timestamp is {timestamp!r} ({type(timestamp).__name__}): it must be a datetime (naive means UTC)"
        raise InvalidEventError(message)
    if timestamp.tzinfo is UTC:
        return timestamp
    if timestamp.tzinfo is None:
        return timestamp.replace(tzinfo=UTC)
    try:
        return timestamp.astimezone(UTC)
    except OverflowError:
        message = (
            f"timestamp is {timestamp.isoformat()}: in UTC that is not within the years 1 to 9999"
        )
        raise InvalidEventError(message) from None


def _text(name: str, value: object) -> str:
    if (
        not isinstance(value, str)
        or not 0 < len(value.encode(errors="replace")) <= MAX_BYTES
        or not value.isprintable()
    ):
        message = f"{name} is {shown(value)}: it must be a printable str of 1 to {MAX_BYTES} bytes, as AMQP carries it"
        raise InvalidEventError(message)
    return value


def _version(value: object) -> int:
    return positive_int("data_version", value, most=_MAX_VERSION, error=InvalidEventError)


def _optional_text(name: str) -> Callable[[object], str | None]:
    return lambda value: None if value is None else _text(name, value)


# What replace() may change: its attribute and its check.
_ENVELOPE: dict[str, tuple[str, Callable[[object], object]]] = {
    "timestamp": ("timestamp", _utc),
    "id": ("id", partial(_text, "id")),
    "source": ("source", partial(_text, "source")),
    "correlation_id": ("_correlation_id", _optional_text("correlation_id")),
    "causation_id": ("causation_id", _optional_text("causation_id")),
    "data_version": ("data_version", _version),
    "traceparent": ("traceparent", _optional_text("traceparent")),
}
_ATTRIBUTES = ("type", "payload", *(attribute for attribute, _ in _ENVELOPE.values()))


# The registry: type and version -> class

_classes: dict[str, dict[int, type[Event[Any]]]] = {}
_places: dict[tuple[str, int], tuple[str, str]] = {}  #: full name and file of each registered class


def _declared_payload_model(cls: type) -> type[Payload] | None:
    for base in getattr(cls, "__orig_bases__", ()):
        for argument in get_args(base):
            if isinstance(argument, type) and issubclass(argument, Payload):
                return argument
    return None


def _register(cls: type[Event[Any]]) -> None:
    """Take a class into the registry; from a reloaded module it replaces its predecessor."""
    key, place = (cls.event_type, _version(cls.event_version)), _place_of(cls)
    taken = _places.setdefault(key, place)
    if taken != place:
        raise DuplicateEventError(_declared_twice(key, sorted((taken, place))))
    _classes.setdefault(cls.event_type, {})[cls.event_version] = cls


def _place_of(cls: type) -> tuple[str, str]:
    """Full name of a class and the file that declares it; a notebook or a prompt has no file."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return f"{cls.__module__}.{cls.__qualname__}", str(Path(file).resolve()) if file else "no file"


def _declared_twice(key: tuple[str, int], places: list[tuple[str, str]]) -> str:
    """Error text of two classes for one event: the same, whichever of them came first."""
    (event_type, version), ((one, file), (other, other_file)) = key, places
    advice = "keep one of them, or give one another type or version"
    if file == other_file and one.partition(".")[0] != other.partition(".")[0]:
        advice = "if it is one class, its file is imported by two names: import it by one"
    both = f"{one} in {file} and {other} in {other_file}"
    return f"two classes declare the event {event_type!r}, version {version}: {both}; {advice}"


def event_class(event_type: str, version: int | None = None) -> type[Event[Any]] | None:
    """Return the class registered for a type and version; without a version, the newest one.

    A type without classes has None.

    Raises:
        InvalidEventError: the type is known, the version is not.
    """
    versions = _classes.get(event_type)
    if not versions:
        return None
    if version is None:
        return versions[max(versions)]
    if version not in versions:
        known = ", ".join(map(str, sorted(versions)))
        message = f"{event_type!r} has no class for data version {version!r}; known: {known}"
        raise InvalidEventError(message)
    return versions[version]


# What is being handled

# Event, subscription, attempt: bare, and in one variable, for every delivery sets it.
_handled: ContextVar[tuple[Event[Any], str, int] | None] = ContextVar(
    "qt_events.handled", default=None
)

current_attempt = (
    _handled.get
)  #: the event whose handler runs here, its subscription's name, the attempt; or None
bind_attempt = _handled.set  #: makes it so, in the context that this is called in


def current_event() -> Event[Any] | None:
    """The event whose handler is running here; None outside of handlers."""
    here = current_attempt()
    return None if here is None else here[0]


def handled(event: Event[Any], subscription: str = "", attempt: int = 1) -> Context:
    """A copy of this context in which `event` is the one being handled: what is published there is caused by it."""
    context = copy_context()
    context.run(bind_attempt, (event, subscription, attempt))
    return context


def correlated(event: Event[Any]) -> Event[Any]:
    """`event`, as caused by the one being handled here, unless it says itself what caused it."""
    cause = current_event()
    if (
        cause is None or not event.is_root or event.id == cause.id
    ):  # a handler may pass its own event on
        return event
    return event.caused_by(cause)


def checked_event(event: object) -> Event[Any]:
    """What publish() takes, with its cause. InvalidEventError for what is no event."""
    if not isinstance(event, Event):
        message = f"publish() takes an Event, not {event!r}: make one with Event(type, timestamp, payload) or .create()"
        raise InvalidEventError(message)
    return correlated(event)
