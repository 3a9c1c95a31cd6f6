"""Round trip: a payload written as JSON and read, as between a publisher and a subscriber."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from qt_events.errors import InvalidPayloadError
from qt_events.events.carriage.difference import difference

# JSON has no such number. A text may have the word, too.
_INFINITE = b"Infinity"
M = TypeVar("M", bound=BaseModel)


def written(value: Any, *, for_reading: bool) -> bytes:
    """Return a payload, or a document with one, as JSON."""
    return to_json(value, inf_nan_mode="constants", round_trip=for_reading)


def read(model: type[M], document: Any) -> M:
    """Return the payload of a parsed document. Strict models take from JSON what JSON can say."""
    return model.__pydantic_validator__.validate_json(to_json(document))  # type: ignore[no-any-return]


def must_come_back(payload: BaseModel, *, for_reading: bool) -> None:
    """Refuse a payload that a subscriber would read otherwise.

    Raises:
        InvalidPayloadError: the text names the field, and both values.
    """
    name = type(payload).__name__
    try:
        body = written(payload, for_reading=for_reading)
        if _INFINITE in body:
            # As a consumer reads it.
            from_json(body, allow_inf_nan=False)
        again = type(payload).__pydantic_validator__.validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("payload", *first["loc"])))
        raise InvalidPayloadError(
            f"{name} cannot be read once it is written as JSON: {where}: {first['msg']:.300}"
        ) from None
    # Serializers and validators are the user's.
    except Exception as error:
        raise InvalidPayloadError(
            f"{name} cannot be written as JSON and read: {type(error).__name__}: {error!s:.300}"
        ) from error
    if changed := difference(payload, again, "payload"):
        raise InvalidPayloadError(
            f"{name} changes on its way through JSON: {changed}; "
            "what reads a field must leave alone what it has made"
        )
