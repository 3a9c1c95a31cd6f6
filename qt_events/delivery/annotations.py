"""Annotations: the event class that a handler says it takes, and whether its pattern brings it."""

import inspect
from collections.abc import Callable
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from qt_events.delivery.redefinition import function_in
from qt_events.errors import InvalidHandlerError
from qt_events.events.event import Event, classes_of
from qt_events.events.payload import Payload
from qt_events.events.topics import matches


def must_take(whose: str, function: Callable[..., object], pattern: str) -> None:
    """Refuse a function that is annotated for other events than its pattern brings.

    An annotation that says something else, or cannot be read here, is no reason to refuse.

    Raises:
        InvalidHandlerError: the text names the class.
    """
    taken = _annotated(function)
    if taken and all(_is(Event, each) for each in taken):
        if not any(_brings(pattern, each) for each in taken):
            names = " or ".join(each.__name__ for each in taken)
            raise InvalidHandlerError(
                f"{whose}: {function!r} takes {names}, which never comes by {pattern!r}: "
                "subscribe it to that class, or annotate it for the one that comes"
            )
    elif taken and all(_is(Payload, each) for each in taken) and not _is_wrapped(function):
        raise InvalidHandlerError(
            f"{whose}: {function!r} takes the payload {taken[0].__name__}, and gets the event: "
            "write def handler(event), and read event.payload"
        )


def _is(base: type, annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, base)


def _is_wrapped(function: Any) -> bool:
    # A decorator may take the payload out of the event.
    return hasattr(function_in(function), "__wrapped__")


def _brings(pattern: str, event_class: type[Event[Any]]) -> bool:
    coming = classes_of(pattern)
    if any(issubclass(each, event_class) for each in coming):
        return True
    # A class without a type may still be the base of one that is declared later.
    return matches(pattern, event_class.event_type) if event_class.event_type else not coming


def _annotated(function: Callable[..., object]) -> list[Any]:
    """Return the classes that the first argument is annotated with, None left out."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()))
        scope = getattr(inspect.unwrap(function_in(function)), "__globals__", {})
        annotation = get_type_hints(SimpleNamespace(__annotations__={"": first.annotation}), scope)[
            ""
        ]
    # No parameter, no signature, or a name that is known to type checkers only.
    except Exception:  # noqa: BLE001  # an annotation is any expression
        return []
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    return [get_origin(each) or each for each in members if each is not NoneType]
