"""Frozen payloads: the fast way for plain objects does what the thorough one does."""

from collections import OrderedDict
from decimal import Decimal
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.errors import InvalidPayloadError
from qt_events.events import frozen
from qt_events.events.frozen import FrozenDict, FrozenList, freeze, freeze_object


class Side(StrEnum):
    BUY = "BUY"


class Size(Enum):
    SMALL = 1


ODD = [
    float("nan"), float("inf"), 1 << 61, -(1 << 62), 1 << 62, 1 << 14_000, "é", "\ud800", b"bytes",
    Decimal(1), Side.BUY, Size.SMALL, {1, 2}, (1, "a"), object, {"a": {1: 2}}, [float("nan")],
    MappingProxyType({"a": 1}), OrderedDict(b=[1]),
]  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.text() | st.integers() | st.none() | st.sampled_from([Side.BUY, "\ud800", "é"])


def outcome(function: Any, value: Any) -> Any:
    """Return the frozen value with its types, or the error's text."""
    try:
        frozen = function(value)
    except InvalidPayloadError as error:
        return str(error)
    return repr(frozen), types_of(frozen)


def types_of(value: Any) -> Any:
    if isinstance(value, FrozenDict):
        return {key: types_of(each) for key, each in value.items()}
    return [types_of(each) for each in value] if isinstance(value, FrozenList) else type(value)


@given(st.dictionaries(keys, values, max_size=5))
def test_both_ways_come_to_the_same(payload: dict[Any, Any]) -> None:
    assert outcome(freeze_object, payload) == outcome(freeze, payload)


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("key", ["plain", "é", "\ud800", 5, None, Side.BUY])
def test_a_value_or_a_key_that_is_not_plain_comes_to_the_same(key: Any, value: Any) -> None:
    """The error names the same place."""
    payload = {"first": 1, key: value, "last": [1]}
    assert outcome(freeze_object, payload) == outcome(freeze, payload)
    assert payload["last"] == [1]


def test_names_made_up_at_run_time_are_not_kept_for_ever() -> None:
    """A program that puts ids among its names does not grow, and its names are checked as ever."""
    for n in range(10_000):
        freeze_object({f"id-{n}": n})
    assert len(frozen._known_names) <= 4096  # noqa: SLF001
    with pytest.raises(InvalidPayloadError, match="JSON cannot carry"):
        freeze_object({"id-1": 1, "\ud800": 1})
