"""Difference: the first place where two values differ, in type, in value or in what is in them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from qt_events.events.frozen import preview

# A frozen one counts as its base class.
_CONTAINERS = (dict, list)


def difference(one: Any, other: Any, path: str) -> str | None:
    """Return the path to the first difference, with both values; None if there is none."""
    if isinstance(one, BaseModel) and type(one) is type(other):
        return _first(
            difference(left.get(name), right.get(name), f"{path}.{name}")
            for left, right in zip(_state(one), _state(other), strict=True)
            for name in {**left, **right}
        )
    if _kind(one) is not _kind(other) or not _agree(one, other):
        return f"{path} is {preview(one)} ({type(one).__name__}), and then {preview(other)}"
    if isinstance(one, dict):
        return _first(difference(one[key], other[key], f"{path}[{key!r}]") for key in one)
    if isinstance(one, list | tuple):
        return _first(
            difference(left, right, f"{path}[{number}]")
            for number, (left, right) in enumerate(zip(one, other, strict=True))
        )
    return None


def _first(found: Iterable[str | None]) -> str | None:
    return next(filter(None, found), None)


def _state(model: BaseModel) -> tuple[dict[str, Any], ...]:
    """Return fields, further fields and private attributes."""
    fields = {name: model.__dict__.get(name) for name in type(model).model_fields}
    return fields, model.__pydantic_extra__ or {}, model.__pydantic_private__ or {}


def _kind(value: object) -> type:
    return next((kind for kind in _CONTAINERS if type(value).__mro__[1:2] == (kind,)), type(value))


def _agree(one: Any, other: Any) -> bool:
    if isinstance(one, datetime):
        # Of two times in the hour that a clock is put back, == is False.
        return _wall_time(one) == _wall_time(other)
    if isinstance(one, dict | set | frozenset):
        return _typed(one) == _typed(other)
    if isinstance(one, list | tuple):
        return len(one) == len(other)
    return bool(one == other)


def _wall_time(time: datetime) -> tuple[datetime, timedelta | None]:
    return time.replace(tzinfo=None, fold=0), time.utcoffset()


def _typed(values: Iterable[Any]) -> set[tuple[type, Any]]:
    return {(type(value), value) for value in values}
