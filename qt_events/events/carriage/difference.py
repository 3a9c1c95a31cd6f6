"""Difference: the first place where two values differ, in type, in value or in what is in them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from qt_events.events.frozen import preview

# Values of most fields, which == compares, and all that they are.
_PLAIN = (str, int, float, bool, type(None))


def difference(one: Any, other: Any, path: str) -> str | None:
    """Return the path to the first difference, with both values; None if there is none."""
    kind = type(one)
    if kind is type(other):
        if kind in _PLAIN:
            return None if one == other else _shown(one, other, path)
        if isinstance(one, BaseModel):
            return _of_models(one, other, path)
    if isinstance(one, dict) and isinstance(other, dict):
        if _typed(one) == _typed(other):
            return _first(difference(one[key], other[key], f"{path}[{key!r}]") for key in one)
    elif _are_sequences(one, other):
        if len(one) == len(other):
            return _first(
                difference(left, right, f"{path}[{number}]")
                for number, (left, right) in enumerate(zip(one, other, strict=True))
            )
    elif kind is type(other) and _agree(one, other):
        return None
    return _shown(one, other, path)


def _shown(one: Any, other: Any, path: str) -> str:
    return f"{path} is {preview(one)} ({type(one).__name__}), and then {preview(other)}"


def _of_models(one: BaseModel, other: BaseModel, path: str) -> str | None:
    left, right = vars(one), vars(other)
    for name in type(one).__pydantic_fields__:
        here, there = left.get(name), right.get(name)
        if type(here) is type(there) and type(here) in _PLAIN and here == there:
            continue
        if found := difference(here, there, f"{path}.{name}"):
            return found
    return difference(_further(one), _further(other), path)


def _further(model: BaseModel) -> dict[str, Any] | None:
    """Return fields that the model does not declare, and private attributes."""
    if model.__pydantic_extra__ or model.__pydantic_private__:
        return {**(model.__pydantic_extra__ or {}), **(model.__pydantic_private__ or {})}
    return None


def _are_sequences(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return isinstance(other, list)
    return isinstance(one, tuple) and type(one) is type(other)


def _first(found: Iterable[str | None]) -> str | None:
    return next(filter(None, found), None)


def _agree(one: Any, other: Any) -> bool:
    if isinstance(one, datetime):
        # Of two times in the hour that a clock is put back, == is False.
        return _wall_time(one) == _wall_time(other)
    if isinstance(one, set | frozenset):
        return _typed(one) == _typed(other)
    return bool(one == other)


def _wall_time(time: datetime) -> tuple[datetime, timedelta | None]:
    return time.replace(tzinfo=None, fold=0), time.utcoffset()


def _typed(values: Iterable[Any]) -> set[tuple[type, Any]]:
    return {(type(value), value) for value in values}
