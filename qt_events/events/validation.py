"""Validation: what is given for a payload, or came for it, becomes an instance of its model."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import AliasChoices, AliasPath, ValidationError

from qt_events.errors import InvalidPayloadError
from qt_events.events.carriage.round_trip import must_come_back, read
from qt_events.events.frozen import MAX_DEPTH, preview, too_deep
from qt_events.events.mistakes import MOST_SHOWN, unknown_field, wrong_fields
from qt_events.events.payload import Payload


class Received(dict[str, Any]):
    """JSON object of an event that came: its producer may know more fields."""


def validated(model: type[Payload], payload: Any, event_class: type) -> Payload:
    """Return `payload` as an instance of the model.

    Raises:
        InvalidPayloadError: a field is wrong or unknown, or a subscriber would read it otherwise.
    """
    try:
        if type(payload) is Received:
            return _received(model, payload)
        made = _made(model, payload, event_class)
    except ValidationError as error:
        raise wrong_fields(error, event_class) from None
    if not model.__carriage__.is_proved:
        if model.__carriage__.may_thaw:
            _freeze_again(made)
        must_come_back(made, for_reading=made.__for_reading__)
    return made


def _received(model: type[Payload], payload: Received) -> Payload:
    if not model.__pydantic_complete__:
        model.model_rebuild()
    if model.__carriage__.is_proved:
        made: Payload = model.__pydantic_validator__.validate_python(payload)
        return made
    made = read(model, payload)
    if model.__carriage__.may_thaw:
        _freeze_again(made)
    return made


def _freeze_again(value: Any, depth: int = 0) -> None:
    """Freeze payloads that have validators of their own, which come after pydantic's last step."""
    if depth > MAX_DEPTH:
        raise too_deep("payload")
    if isinstance(value, Payload):
        value.__freeze__()
        inside: Iterable[Any] = value.__dict__.values()
    elif isinstance(value, dict):
        inside = value.values()
    else:
        inside = value if isinstance(value, list | tuple | set | frozenset) else ()
    for each in inside:
        _freeze_again(each, depth + 1)


def _made(model: type[Payload], payload: Any, event_class: type) -> Payload:
    if not model.__pydantic_complete__:
        model.model_rebuild()
    takes_more = model.__carriage__.takes_more
    if isinstance(payload, Mapping) and not isinstance(payload, model):
        payload = dict(payload)
        if takes_more:
            must_know(payload, model, event_class)
    return model.model_validate(payload, extra=None if takes_more else "forbid")


def all_mistakes(
    error: ValidationError, payload: Mapping[str, Any], model: type[Payload] | None
) -> ValidationError:
    """Return the error with unknown fields too, where only the others were looked for."""
    if model is not None and not model.__carriage__.takes_more:
        try:
            model.__pydantic_validator__.validate_python(payload, extra="forbid")
        except ValidationError as all_of_them:
            return all_of_them
    return error


def must_know(payload: Mapping[str, Any], model: type[Payload] | None, event_class: type) -> None:
    """Raise InvalidPayloadError if the model has no such field, unless it takes any."""
    if model is None or model.model_config.get("extra") == "allow":
        return
    known = _names(model)
    if unknown := [name for name in payload if name not in known]:
        described = [
            f"payload.{name}: {unknown_field(name)}, got {preview(payload[name])}"
            for name in unknown[:MOST_SHOWN]
        ]
        raise InvalidPayloadError(f"{event_class.__name__}: {'; '.join(described)}")


def _names(model: type[Payload]) -> set[str]:
    """Return all names that the model may read its fields by."""
    names = set(model.__pydantic_fields__)
    for each in model.__pydantic_fields__.values():
        for alias in (each.alias, each.validation_alias):
            choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
            paths = [each.path[0] if isinstance(each, AliasPath) else each for each in choices]
            names.update(path for path in paths if isinstance(path, str))
    return names
