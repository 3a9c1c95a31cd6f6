"""Immutability: no event changes, and nothing in its payload, however deep."""

import json
from typing import Any, Literal, NamedTuple

import pytest

from qt_events.events.event import Event
from qt_events.events.frozen import FrozenDict, FrozenList, freeze
from qt_events.events.payload import Payload


def test_an_event_cannot_change() -> None:
    """Setting or deleting an attribute is an AttributeError with advice."""
    event = Event("my.event")
    with pytest.raises(AttributeError, match=r"replace\(\)"):
        event.type = "other"
    with pytest.raises(AttributeError):
        del event.payload
    with pytest.raises(AttributeError):
        event.new_attribute = 1


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.__setitem__("a", 1),
        lambda p: p.__delitem__("a"),
        lambda p: p.update(a=1),
        lambda p: p.pop("a"),
        lambda p: p.clear(),
        lambda p: p.setdefault("c", 1),
        lambda p: p.popitem(),
        lambda p: p.__ior__({}),
        lambda p: p["b"].append(1),
        lambda p: p["b"].__setitem__(0, 1),
        lambda p: p["b"].sort(),
        lambda p: p["b"].extend([1]),
        lambda p: p["b"].__iadd__([1]),
        lambda p: p["b"][0].update(x=1),
    ],
)
def test_a_payload_cannot_change(change: Any) -> None:
    """Every mutating method of its dicts and lists is refused, at any depth, with advice."""
    payload = Event("my.event", None, {"a": 1, "b": [{"x": 0}]}).payload
    with pytest.raises(TypeError, match="immutable"):
        change(payload)


def test_the_payload_is_a_copy() -> None:
    """Changing the dict that a payload was made of does not change the event."""
    inner = [1]
    given_payload = {"list": inner}
    event = Event("my.event", None, given_payload)
    inner.append(2)
    given_payload["more"] = [3]
    assert event.payload == {"list": [1]}


def test_frozen_containers_are_dicts_and_lists() -> None:
    """Frozen containers work with isinstance, ==, json and copying."""
    payload = freeze({"a": [1, {"b": 2}]})
    assert isinstance(payload, dict)
    assert isinstance(payload["a"], list)
    assert json.dumps(payload) == '{"a": [1, {"b": 2}]}'
    thawed = dict(payload)
    thawed["c"] = 3
    assert list(payload["a"]) == [1, {"b": 2}]
    assert (type(payload), type(payload["a"])) == (FrozenDict, FrozenList)


def test_a_named_tuple_stays_one() -> None:
    """A frozen one keeps its names."""

    class Point(NamedTuple):
        x: int
        y: list[int]

    class Where(Payload):
        point: Point

    class WhereEvent(Event[Where], type="named.tuple"): ...

    point = WhereEvent.create(point=Point(1, [2])).payload.point
    assert (point.x, point.y) == (1, [2])
    assert isinstance(point.y, FrozenList)


class Flat(Payload):
    side: Literal["buy", "sell"]
    price: float | None = None


class Nested(Flat):
    tags: list[str]


def test_containers_of_a_subclass_are_frozen() -> None:
    """The base class may have none, and skip the search for them."""
    assert isinstance(Nested(side="buy", tags=["a"]).tags, FrozenList)
    assert (Flat.__pydantic_post_init__, Nested.__pydantic_post_init__) == (None, "__freeze__")
