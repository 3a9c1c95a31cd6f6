"""Mistakes: the wrong fields of a payload, in words."""

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from qt_events.errors import InvalidPayloadError, UnknownValueError
from qt_events.events.attributes import ATTRIBUTES
from qt_events.events.frozen import INT_BOUNDS, preview, too_large_int

# Wrong fields of one payload: this many are described; beyond the second number they are only
# counted, and beyond the third nobody looks whether a newer release may know them.
MOST_SHOWN, _MOST_LISTED, _MOST_JUDGED = 50, 1_000, 20_000
# Errors about what a model does not list, by pydantic's names (pydantic, Validation Errors). A
# function that discriminates finds no tag for a new member; a dataclass calls a field an argument.
_UNKNOWN = {
    "enum",
    "literal_error",
    "union_tag_invalid",
    "union_tag_not_found",
    "extra_forbidden",
    "unexpected_keyword_argument",
}


def wrong_fields(error: ValidationError, event_class: type) -> InvalidPayloadError:
    """Return the error that names the wrong fields."""
    kind = UnknownValueError if _knows_too_little(error) else InvalidPayloadError
    return kind(f"{event_class.__name__}: {describe(error)}")


def _knows_too_little(error: ValidationError) -> bool:
    """Return True if each wrong field has a value, or a field inside it, that is unknown here."""
    if error.error_count() > _MOST_JUDGED:
        return False
    is_unknown: dict[int | str, bool] = {}
    # A union tells why each of its members is none.
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        field = each["loc"][0] if each["loc"] else ""
        is_unknown[field] = is_unknown.get(field, False) or each["type"] in _UNKNOWN
    return all(is_unknown.values())


def _mistake(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return unknown_field(error["loc"][-1] if len(error["loc"]) == 1 else None)
    if any(value in INT_BOUNDS.values() for value in error.get("ctx", {}).values()):
        return too_large_int(error["input"])
    return error["msg"]


def unknown_field(name: object) -> str:
    """Return the error text of a field that the payload does not have."""
    if name in ATTRIBUTES:
        return f"no field, but an attribute of the event: use .create(...).replace({name}=...)"
    return "no such field"


def describe(error: ValidationError) -> str:
    """Return the wrong fields in one line: path, what is wrong, and the value, cut short."""
    count = error.error_count()
    # A hostile payload may have as many as it has bytes.
    if count > _MOST_LISTED:
        return f"{count} values are wrong"
    described = [
        f"payload{''.join(f'.{part}' for part in each['loc'])}: {_mistake(each)}, "
        f"got {preview(each['input'])}"
        for each in error.errors()
    ]
    more = [f"and {count - MOST_SHOWN} more"] if count > MOST_SHOWN else []
    return "; ".join([*described[:MOST_SHOWN], *more])
