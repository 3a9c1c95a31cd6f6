"""Frozen JSON: dicts and lists that JSON can carry and that nobody can change."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, NoReturn
from uuid import UUID

from pydantic import BaseModel

from qt_events.errors import InvalidPayloadError

# Python and pydantic read integers of up to 4300 digits.
MAX_INT_BITS = 14_000
INT_BOUNDS = {"ge": 1 - (1 << MAX_INT_BITS), "le": (1 << MAX_INT_BITS) - 1}
_SMALL = 1 << 62
# Levels of a payload: pydantic's JSON reader refuses at 200, some others earlier.
MAX_DEPTH = 100
# Names of fields that were found to be ASCII, and how many are remembered: not those of long texts.
_known_names: set[str] = set()
_MOST_NAMES, _SHORT = 4096, 4096
#: Values of a validated field that pydantic writes to JSON and reads back.
TYPED_SCALARS = (str, int, bool, type(None), Enum, datetime, date, timedelta, Decimal, UUID)


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    kind = "dict" if isinstance(self, dict) else "list"
    raise TypeError(f"a payload is immutable: copy it first, e.g. {kind}(value)")


class FrozenDict(dict[str, Any]):
    """Immutable dict; json, == and isinstance treat it as a dict."""

    __slots__ = ()
    #: As of a Payload: it has nothing that is written in another way for reading.
    __for_reading__ = False
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


class FrozenList(list[Any]):
    """Immutable list; json, == and isinstance treat it as a list."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenList, (list(self),)


def preview(value: object) -> str:
    """Return the value's repr, cut to 80 characters, for an error's text.

    A repr may fail: a stranger's, or Python's own for a very large int.
    """
    try:
        return f"{value!r:.80}"
    except Exception:  # noqa: BLE001  # whatever a stranger's __repr__ raises
        return f"a {type(value).__name__} that cannot be shown"


def too_large_int(value: int) -> str:
    """Return the error text of an int of too many digits, without them."""
    return f"an int of {value.bit_length()} bits, which JSON readers refuse: use a str"


def _not_json(path: str, value: object) -> InvalidPayloadError:
    return InvalidPayloadError(
        f"{path} is {preview(value)} ({type(value).__name__}), which JSON cannot carry: "
        "use str, int, finite float, bool, None, list or dict with str keys"
    )


def too_deep(path: str) -> InvalidPayloadError:
    """Return the error of a value with too many others around it."""
    return InvalidPayloadError(
        f"{path:.80}... nests deeper than {MAX_DEPTH} levels, or contains itself: flatten it"
    )


def freeze(value: Any, path: str = "payload", depth: int = 0) -> Any:
    """Return a deep, immutable copy of a JSON value.

    Raises:
        InvalidPayloadError: JSON cannot carry it; the text names the path to the value.
    """
    if depth > MAX_DEPTH:
        raise too_deep(path)
    match value:
        case Enum():
            return freeze(value.value, path, depth)
        case float() if not isfinite(value):
            raise _not_json(path, value)
        case int() if value.bit_length() > MAX_INT_BITS:
            raise InvalidPayloadError(f"{path} is {too_large_int(value)}")
        case str() if not value.isascii():
            return _unicode(value, path)
        case None | str() | int() | float():
            return value
        case Mapping():
            return FrozenDict(
                {_key(k, path): freeze(value[k], f"{path}[{k!r}]", depth + 1) for k in value}
            )
        case list() | tuple():
            return FrozenList([freeze(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)])
    raise _not_json(path, value)


def freeze_object(value: Mapping[Any, Any]) -> FrozenDict:
    """Do what `freeze` does, faster, for an object whose values are plain, as those of most are."""
    frozen = FrozenDict(value)
    if not (_known_names.issuperset(frozen) or _are_plain(frozen)):
        return freeze(value)  # type: ignore[no-any-return]
    for key, each in frozen.items():
        kind = type(each)
        if kind is str:
            if each.isascii():
                continue
        elif kind is float:
            if isfinite(each):
                continue
        elif each is None or kind is bool or (kind is int and -_SMALL < each < _SMALL):
            continue
        # The same key again: the dict stays as large as it is.
        dict.__setitem__(frozen, key, freeze(each, f"payload[{key!r}]", 1))
    return frozen


def _are_plain(names: FrozenDict) -> bool:
    """Return whether all names are ASCII, and remember them: a program has few."""
    try:
        text = "".join(names)
    except TypeError:
        return False
    if not text.isascii():
        return False
    if len(text) < _SHORT and len(_known_names) < _MOST_NAMES:
        _known_names.update(names)
    return True


def _unicode(value: str, path: str) -> str:
    try:
        value.encode()
    # A lone surrogate.
    except UnicodeEncodeError:
        raise _not_json(path, value) from None
    return value


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise _not_json(f"a key of {path}", key)
    return _unicode(key, path)


def freeze_field(value: Any, path: str, depth: int = 1) -> Any:
    """Return a validated field with its containers frozen.

    Other values in it may be any that pydantic reads back from JSON.
    """
    if depth > MAX_DEPTH:
        raise too_deep(path)
    match value:
        case dict():
            return FrozenDict(
                {k: freeze_field(v, f"{path}[{k!r}]", depth + 1) for k, v in value.items()}
            )
        case list():
            return FrozenList(
                [freeze_field(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
            )
        case tuple():
            items = [freeze_field(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
            # A NamedTuple stays one.
            return type(value)._make(items) if hasattr(value, "_make") else tuple(items)
        case set() | frozenset():
            return frozenset(freeze_field(v, path, depth + 1) for v in value)
    return _leaf(value, path)


def _leaf(value: Any, path: str) -> Any:
    if isinstance(value, str):
        return _unicode(value, path)
    if type(value) is int:
        return freeze(value, path)
    if isinstance(value, BaseModel):
        return _payload(value, path)
    if isinstance(value, TYPED_SCALARS) or (isinstance(value, float) and isfinite(value)):
        return value
    raise _not_json(path, value)


def _payload(value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        raise InvalidPayloadError(
            f"{path} is a {type(value).__name__}: a nested model must be a qt_events.Payload, "
            "checked and frozen"
        )
    return value
