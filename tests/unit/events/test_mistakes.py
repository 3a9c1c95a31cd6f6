"""Payloads that a newer release may read, told from those that none could."""

from enum import STRICT, Enum, Flag, IntEnum, StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import ConfigDict, Discriminator, Tag
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from qt_events.errors import DecodeError, NewerReleaseError
from qt_events.events.cloudevents import decode
from qt_events.events.event import Event
from qt_events.events.payload import Payload
from tests.unit.events.samples import cloud_event


class Side(StrEnum):
    BUY = "buy"


class Lot(IntEnum):
    ONE = 1


class Mixed(Enum):
    TEXT = "text"
    NUMBER = 1


# Python before 3.11.4 drops the bits that it does not know, unless told otherwise.
class Right(Flag, boundary=STRICT):
    READ = 1


class Spot(Payload):
    kind: Literal["spot"] = "spot"


class Future(Payload):
    kind: Literal["future"] = "future"
    size: int = 1


class Closed(Payload):
    model_config = ConfigDict(extra="forbid")
    size: int = 1


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ClosedDataclass:
    size: int = 1


class ClosedDict(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]
    size: int


def _kind(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else value.kind
    return kind if kind in {"spot", "future"} else None


Told = Annotated[
    Annotated[Spot, Tag("spot")] | Annotated[Future, Tag("future")], Discriminator(_kind)
]


class Release(Payload):
    """Order as the old release knows it."""

    side: Side = Side.BUY
    sides: list[Side] | None = None
    by_side: dict[Side, int] | None = None
    lot: Lot | None = None
    mixed: Mixed = Mixed.TEXT
    right: Right = Right.READ
    literal: Literal["a", "b"] | None = None
    union: Spot | Future = Spot()
    tagged: Annotated[Spot | Future, Discriminator("kind")] = Spot()
    told: Told = Spot()
    closed: Closed = Closed()
    closed_dataclass: ClosedDataclass = ClosedDataclass()
    closed_dict: ClosedDict | None = None
    size: int = 1


class ReleaseEvent(Event[Release], type="mistakes.release"): ...


#: Fields of a newer release, as they are on the wire.
NEWER: dict[str, dict[str, Any]] = {
    "an enum member": {"side": "short"},
    "a member of an int enum": {"lot": 2},
    "a member of a mixed enum": {"mixed": 2},
    "a flag": {"right": 4},
    "a member in a list": {"sides": ["buy", "short"]},
    "thousands of them": {"sides": ["short"] * 3_000},
    "a member as a key": {"by_side": {"short": 1}},
    "a literal": {"literal": "c"},
    "a member of a union": {"union": {"kind": "swap"}},
    "a member of a tagged union": {"tagged": {"kind": "swap"}},
    "a member that a function tells": {"told": {"kind": "swap"}},
    "a field of a closed payload": {"closed": {"size": 1, "price": 2}},
    "a field of a closed dataclass": {"closed_dataclass": {"size": 1, "price": 2}},
    "a key of a closed dict": {"closed_dict": {"size": 1, "price": 2}},
    "several": {"side": "short", "closed": {"price": 2}, "union": {"kind": "swap"}},
}
#: What is wrong in each release that has this one's version.
WRONG: dict[str, dict[str, Any]] = {
    "another kind": {"size": "many"},
    "another kind, with a new member beside it": {"size": "many", "side": "short"},
    "another kind inside": {"closed": {"size": "many"}},
    "a missing key": {"closed_dict": {}},
}


@pytest.mark.parametrize("fields", NEWER.values(), ids=NEWER)
def test_what_a_newer_release_may_list_is_told(fields: dict[str, Any]) -> None:
    """Workers leave it to another release for a while."""
    with pytest.raises(NewerReleaseError):
        decode(cloud_event(type="mistakes.release", data=fields), "mistakes.release")


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
def test_what_is_wrong_otherwise_is_not_for_another_release(fields: dict[str, Any]) -> None:
    """To wait for another release would only hold it up."""
    with pytest.raises(DecodeError) as caught:
        decode(cloud_event(type="mistakes.release", data=fields), "mistakes.release")
    assert not isinstance(caught.value, NewerReleaseError)
