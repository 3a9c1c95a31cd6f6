"""Declared: the payload class that an event class names, the X of `Event[X]`."""

from collections.abc import Mapping, MutableMapping
from typing import Any, TypeVar, get_args, get_origin

import typing_extensions

from qt_events.errors import InvalidPayloadError
from qt_events.events.payload import Payload

_HOW = (
    "write Event[X], X a subclass of qt_events.Payload that is defined above it; "
    "or Event alone, for a payload without checks"
)
# With these arguments a mapping says nothing of its values.
_OF_ANYTHING = ((), (str, Any), (str, object), (Any, Any))


def declared_model(cls: type, event: type, *, is_open: bool) -> type[Payload] | None:
    """Return the payload class of an event class; None if it names none.

    Args:
        cls: the event class.
        event: the class Event.
        is_open: a TypeVar may stand for the payload, for classes derived from this one to fill.

    Raises:
        InvalidPayloadError: it names something else, by which no payload would be checked.
    """
    named = vars(cls).get("payload_model") or _argument(cls, event)
    if isinstance(named, typing_extensions.TypeAliasType):
        named = named.__value__
    if isinstance(named, type) and issubclass(named, Payload):
        return named
    if named is None or _is_unchecked(named) or (is_open and isinstance(named, TypeVar)):
        return None
    raise InvalidPayloadError(f"{cls.__name__}: {named!r} is no payload class: {_HOW}")


def _argument(cls: type, event: type) -> Any:
    """Return what takes the place of Event's parameter, also by way of generic classes between."""
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin, arguments = get_origin(base) or base, get_args(base)
        if origin is event:
            return arguments[0] if arguments else None
        if isinstance(origin, type) and issubclass(origin, event):
            named = _argument(origin, event)
            if isinstance(named, TypeVar) and arguments:
                return arguments[origin.__parameters__.index(named)]  # type: ignore[attr-defined]
            return named
    return None


def _is_unchecked(named: Any) -> bool:
    mappings = (dict, Mapping, MutableMapping)
    return named is Any or (
        (get_origin(named) or named) in mappings and get_args(named) in _OF_ANYTHING
    )
