"""Event: typed, validated, immutable; and the registry from type and version to class.

An application's event is three lines::

    class PriceAlert(Payload):
        price: float
    class PriceAlertEvent(Event[PriceAlert], type="price.alert"): ...
"""

import builtins
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Generic, NoReturn, Self, cast

from pydantic import ValidationError
from typing_extensions import TypeVar
from uuid_utils import uuid7

from qt_events.errors import (
    DuplicateEventError,
    InvalidEventError,
    InvalidPayloadError,
    NewerVersionError,
)
from qt_events.events.attributes import (
    ATTRIBUTES,
    checked_text,
    checked_time,
    checked_version,
)
from qt_events.events.declared import declared_model
from qt_events.events.frozen import freeze_object
from qt_events.events.mistakes import wrong_fields
from qt_events.events.payload import Payload
from qt_events.events.places import declared_twice, place_of
from qt_events.events.topics import matches, routing_key, validate_routing_key
from qt_events.events.validation import all_mistakes, must_know, validated

DEFAULT_SOURCE = "qt_events"

P = TypeVar("P", bound=Mapping[str, Any], default=Any)

# The only way to set an attribute of an event.
_new, _set = object.__new__, object.__setattr__
# Inside an event's methods `type` is the event's own.
_kind = type
_MAKING = ("__init__", "__new__")
_HOW_TO_CREATE = "{}.create() takes the payload's fields by name, on a class with a type"


class Event(Generic[P]):
    """An event: a type to route by, a time, a payload, and its origin.

    Args:
        type: words separated by dots, e.g. ``policy.updated``; at most 255 bytes, no wildcards.
        timestamp: time at which it happened; a naive one is read as UTC; default now.
        payload: a mapping that JSON can carry. If a class is registered for the type, its model
            validates the payload, and the event is made an instance of that class.
        id: unique per source; default a UUIDv7. Publish the same event again to repeat safely: the
            id stays.
        source: who publishes it (CloudEvents `source`).
        correlation_id: id of the event that everything began with; default its own id.
        causation_id: id of the event whose handler made this one.
        data_version: version of the payload's shape; default the newest registered one, else 1.
        traceparent: W3C trace context, carried along untouched.

    `correlation_id` and `causation_id` of an event that a handler publishes are set by the bus,
    unless they are given.

    Raises:
        InvalidEventError, InvalidPayloadError, InvalidPatternError: an argument is wrong; the text
            names it.
    """

    event_type: ClassVar[str] = ""  #: the type that a subclass is registered for
    event_version: ClassVar[int] = 1
    event_source: ClassVar[str] = DEFAULT_SOURCE
    payload_model: ClassVar["builtins.type[Payload] | None"] = None
    #: Makes the payload of a class that create() can make without __init__.
    _validate: ClassVar[Callable[[dict[str, Any]], Any] | None] = None

    #: The payload's class names another that was not defined yet.
    _is_early: ClassVar[bool] = False

    # Those of a class with a type have it from the class.
    type: str
    # These three are set on every event. The others are set only where they differ from the class's
    # own, which makes most events cheap.
    timestamp: datetime
    payload: P
    id: str

    source: str = event_source
    data_version: int = event_version
    _correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    #: Names the replay that sent it again, to one subscription; "" for the event itself. It is no
    #: part of the event: two are equal without it, and a publish leaves it out.
    replay_id: str = ""

    def __init_subclass__(
        cls, type: str = "", version: int = 1, source: str = "", **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.payload_model = declared_model(cls, Event, is_open=not type) or cls.payload_model
        cls.event_source = source or cls.event_source
        if type:
            cls.type = cls.event_type = validate_routing_key(type)
            cls.event_version = version
            _register(cls)
        cls.source, cls.data_version = cls.event_source, cls.event_version
        cls._find_short_way()

    def __new__(
        cls, type: object = "", *_: Any, data_version: int | None = None, **__: Any
    ) -> Self:
        if cls is Event and isinstance(type, str) and type in _classes:
            return _new(cast("builtins.type[Self]", event_class(type, data_version)))
        return _new(cls)

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
        own = self.__dict__
        if _kind(self) is Event and _kind(type) is str and _kind(payload) is dict:
            # The commonest arguments by the shortest way; of a plain str the check is remembered.
            own["type"] = routing_key(type)
            own["payload"] = freeze_object(payload)
        else:
            own["type"] = self._checked_type(type)
            own["payload"] = self._checked_payload(payload)
        if _kind(timestamp) is not datetime or timestamp.tzinfo is not UTC:
            timestamp = checked_time(timestamp)
        own["timestamp"] = timestamp
        own["id"] = str(uuid7()) if id is None else checked_text("id", id)
        # Most events have none of them.
        if not (
            source is None
            and correlation_id is None
            and causation_id is None
            and data_version is None
            and traceparent is None
        ):
            given = {
                "source": source,
                "correlation_id": correlation_id,
                "causation_id": causation_id,
                "data_version": data_version,
                "traceparent": traceparent,
            }
            self._seal(**{name: value for name, value in given.items() if value is not None})

    def _seal(self, **attributes: object) -> None:
        """Check and set attributes other than type and payload."""
        for name, value in attributes.items():
            attribute, check = ATTRIBUTES[name]
            _set(self, attribute, check(value))
        # Everything began with itself: that is the default, and makes no difference.
        if self._correlation_id == self.id:
            _set(self, "_correlation_id", None)

    @classmethod
    def create(cls, *args: Any, **payload: Any) -> Self:
        """Make the event with this payload, now.

        Raises:
            InvalidPayloadError: a field is wrong, missing, or none of the payload's; the text names
                each.
        """
        if args:
            raise InvalidEventError(_HOW_TO_CREATE.format(cls.__name__))
        return cls._of(payload)

    @classmethod
    def _of(cls, payload: dict[str, Any]) -> Self:
        """Make the event, for classes whose `create` has typed parameters."""
        validate = cls._validate
        if validate is None:
            return cls._made_by_init(payload)
        # Does what __init__ does, in one pass: only the payload can be wrong here.
        event = _new(cls)
        own = event.__dict__
        try:
            own["payload"] = made = validate(payload)
        except ValidationError as error:
            raise wrong_fields(all_mistakes(error, payload, cls.payload_model), cls) from None
        # In a flat payload, strangers are counted: that is cheaper than pydantic's search for them.
        if len(made.__pydantic_fields_set__) != len(payload):
            must_know(payload, cls.payload_model, cls)
        own["timestamp"] = datetime.now(UTC)
        own["id"] = str(uuid7())
        return event

    @classmethod
    def _made_by_init(cls, payload: dict[str, Any]) -> Self:
        if not cls.event_type:
            raise InvalidEventError(_HOW_TO_CREATE.format(cls.__name__))
        if cls._is_early:
            cls._find_short_way()
        return cls(cls.event_type, None, payload)

    @classmethod
    def _find_short_way(cls) -> None:
        """Leave __init__ out of create() where nothing but the payload has to be looked at."""
        cls._validate, model = None, cls.payload_model
        cls._is_early = model is not None and not model.__pydantic_complete__
        if not cls.event_type or model is None or cls._is_early:
            return
        has_own_way = any(
            name in vars(each)
            for each in cls.__mro__[: cls.__mro__.index(Event)]
            for name in _MAKING
        )
        if model.__carriage__.is_proved and not has_own_way:
            validate = model.__pydantic_validator__.validate_python
            strict = partial(validate, extra="forbid")
            cls._validate = staticmethod(strict if model.__carriage__.has_strangers else validate)

    @property
    def correlation_id(self) -> str:
        """Id of the event that everything began with; its own id if nothing caused it."""
        return self._correlation_id or self.id

    @property
    def is_root(self) -> bool:
        """True if no cause was given."""
        return self._correlation_id is None and self.causation_id is None

    @property
    def replayed(self) -> bool:
        """True if a replay sent it again."""
        return bool(self.replay_id)

    def caused_by(self, cause: "Event[Any]") -> Self:
        """Return this event, with the same id, as a consequence of `cause`."""
        return self.replace(correlation_id=cause.correlation_id, causation_id=cause.id)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other attributes, checked as in a new event. Type and payload stay."""
        for name in changes.keys() - ATTRIBUTES.keys():
            raise InvalidEventError(f"replace() changes {', '.join(ATTRIBUTES)}, not {name!r}")
        copy = object.__new__(builtins.type(self))
        for name, value in vars(self).items():
            _set(copy, name, value)
        copy._seal(**changes)
        return copy

    def _checked_type(self, type: object) -> str:
        expected = self.event_type
        if expected and type != expected:
            name = builtins.type(self).__name__
            raise InvalidEventError(
                f"{name} is the event {expected!r}, not {type!r}: use .create(...)"
            )
        return expected or validate_routing_key(type)

    def _checked_payload(self, payload: object) -> Any:
        model = self.payload_model
        if model is not None:
            return validated(model, {} if payload is None else payload, builtins.type(self))
        if payload is not None and not isinstance(payload, Mapping):
            kind = builtins.type(payload).__name__
            raise InvalidPayloadError(
                f"the payload of {self.type!r} is a {kind}: it must be a mapping"
            )
        return freeze_object(payload or {})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"an event is immutable: {name} of {self.type!r} cannot change; "
            "make a copy with replace()"
        )

    def __delattr__(self, name: str) -> NoReturn:
        self.__setattr__(name, None)

    def _state(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in _STATE)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self._state() == other._state()

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        kind, time = builtins.type(self).__name__, self.timestamp.isoformat()
        return f"{kind}({self.type!r}, {time}, {self.payload!r}, id={self.id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (builtins.type(self), self._state(), self.replay_id)


def _unpickle(cls: type[Event[Any]], state: tuple[Any, ...], replay_id: str = "") -> Event[Any]:
    event = object.__new__(cls)
    for name, value in zip(_STATE, state, strict=True):
        _set(event, name, value)
    if replay_id:
        _set(event, "replay_id", replay_id)
    return event


_STATE = ("type", "payload", *(attribute for attribute, _ in ATTRIBUTES.values()))


# The registry: type and version -> class

_classes: dict[str, dict[int, type[Event[Any]]]] = {}
_places: dict[tuple[str, int], tuple[str, str]] = {}  #: full name and file of each registered class


def _register(cls: type[Event[Any]]) -> None:
    """Register a class. One of a reloaded module replaces its predecessor."""
    key, place = (cls.event_type, checked_version(cls.event_version)), place_of(cls)
    taken = _places.setdefault(key, place)
    if taken != place:
        raise DuplicateEventError(declared_twice(key, sorted((taken, place))))
    _classes.setdefault(cls.event_type, {})[cls.event_version] = cls


def classes_of(pattern: str) -> list[type[Event[Any]]]:
    """Return the registered classes whose events come by a topic pattern."""
    return [
        each
        for event_type, versions in _classes.items()
        if matches(pattern, event_type)
        for each in versions.values()
    ]


def event_class(event_type: str, version: int | None = None) -> type[Event[Any]] | None:
    """Return the class registered for a type and version; without a version, the newest one.

    A type without classes has None.

    Raises:
        InvalidEventError: the type is registered, the version is not.
    """
    versions = _classes.get(event_type)
    if not versions:
        return None
    if version is None:
        return versions[max(versions)]
    if version not in versions:
        known = ", ".join(map(str, sorted(versions)))
        is_newer = isinstance(version, int) and version > max(versions)
        raise (NewerVersionError if is_newer else InvalidEventError)(
            f"{event_type!r} has no class for data version {version!r}; known: {known}"
        )
    return versions[version]
