"""Annotations: the event class that a handler says it takes, and whether its pattern brings it."""

import inspect
from collections.abc import Callable, Iterable
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from qt_events.delivery.subscribing.redefinition import function_in
from qt_events.errors import InvalidHandlerError
from qt_events.events.event import Event, classes_of
from qt_events.events.payload import Payload
from qt_events.events.raw import RawEvent
from qt_events.events.topics import matches


def must_take_raw(whose: str, function: Callable[..., object], *, is_raw: bool) -> None:
    """Refuse a function that is annotated for events, and gets raw ones, or the reverse.

    Raises:
        InvalidHandlerError: the text names the option.
    """
    taken = [member for each in _annotated(function) for member in (get_args(each) or (each,))]
    if is_raw and any(_is(Event, each) for each in taken):
        raise InvalidHandlerError(
            f"{whose}: {function!r} takes an Event, and with raw=True it gets a RawEvent: "
            "annotate it so, or leave out raw="
        )
    if not is_raw and taken and all(_is(RawEvent, each) for each in taken):
        raise InvalidHandlerError(
            f"{whose}: {function!r} takes a RawEvent, and gets an Event: give raw=True"
        )


def must_take(
    whose: str, function: Callable[..., object], pattern: str, *, is_batch: bool = False
) -> None:
    """Refuse a function that is annotated for other events than its pattern brings.

    With `is_batch` it gets lists of them.

    An annotation that says something else, or cannot be read here, is no reason to refuse.

    Raises:
        InvalidHandlerError: the text names the class.
    """
    annotated = _annotated(function)
    lists = [each for each in annotated if _is_list_of_events(each)]
    if is_batch:
        _must_be_list(whose, function, annotated)
        annotated = [member for each in lists for member in get_args(each)]
    elif lists and len(lists) == len(annotated):
        raise InvalidHandlerError(
            f"{whose}: {function!r} takes a list of events, and gets one event: "
            "give batch= to have lists"
        )
    taken = [get_origin(each) or each for each in annotated]
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


def _must_be_list(whose: str, function: Callable[..., object], annotated: list[Any]) -> None:
    taken = [get_origin(each) or each for each in annotated]
    if taken and all(_is(Event, each) or _is(Payload, each) for each in taken):
        name = taken[0].__name__
        raise InvalidHandlerError(
            f"{whose}: {function!r} takes one {name}, and with batch= it gets a list: "
            f"write def handler(events: list[{name}])"
        )


def _is_list_of_events(annotation: Any) -> bool:
    """Tell whether it is list[AnEvent], or another collection of events."""
    return _is(Iterable, get_origin(annotation)) and any(
        _is(Event, get_origin(each) or each) for each in get_args(annotation)
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
    """Return what the first argument is annotated with, None left out."""
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
    return [each for each in members if each is not NoneType]
