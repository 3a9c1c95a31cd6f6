"""The X of Event[X]: it checks the payload, or the class is refused."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from types import new_class
from typing import Annotated, Any, Dict, ForwardRef, Generic, NamedTuple, NewType, Optional, TypeVar  # noqa: UP035

import pytest
import typing_extensions
from pydantic import BaseModel, RootModel

from qt_events.errors import InvalidPayloadError
from qt_events.events.event import Event
from qt_events.events.payload import Payload
from tests.unit.events.samples import PriceAlert


class Model(BaseModel):
    price: float


class Root(RootModel[dict[str, float]]): ...


class Typed(typing_extensions.TypedDict):
    price: float


class Named(NamedTuple):
    price: float


@dataclass
class Data:
    price: float


T = TypeVar("T", bound=Mapping[str, Any])
K = TypeVar("K")
B = TypeVar("B", bound=Payload)


class Other(Payload):
    price: str


def event_class(base: Any, event_type: str) -> type[Event[Any]]:
    return new_class("MadeEvent", (base,), {"type": event_type})


@pytest.mark.parametrize(
    "named",
    [
        Model,
        Root,
        Typed,
        Named,
        Data,
        Optional[PriceAlert],  # noqa: UP045
        PriceAlert | None,
        PriceAlert | Other,
        Annotated[PriceAlert, "note"],
        NewType("Alert", PriceAlert),
        ForwardRef("Later"),
        "Later",
        dict[str, float],
        Mapping[str, int],
        list[int],
        type[PriceAlert],
        int,
        str,
        object,
        None,
        T,
        B,
    ],
    ids=repr,
)
def test_what_cannot_check_a_payload_is_refused(named: Any) -> None:
    """Its payloads would be published as they were given."""
    with pytest.raises(InvalidPayloadError, match=r"AskedEvent: .* write Event\[X\]"):

        class AskedEvent(Event[named], type="declared.asked"): ...


@pytest.mark.parametrize(
    "named",
    [
        Any,
        dict,
        Mapping,
        dict[str, Any],
        Dict[str, Any],  # noqa: UP006
        Mapping[str, Any],
        MutableMapping[str, object],
    ],
    ids=repr,
)
def test_a_mapping_of_anything_asks_for_no_check(named: Any) -> None:
    """It says that its payload may be any."""

    class FreeEvent(Event[named], type="declared.free"): ...

    assert FreeEvent.create(anything=[1]).payload == {"anything": [1]}
    assert FreeEvent.payload_model is None


class Open(Event[T]): ...


class Keyed(Event[T], Generic[K, T]): ...


class Unrelated(Event[PriceAlert], Generic[K]): ...


class Deeper(Open[T]): ...


class Later(Open[B]): ...


Alias = typing_extensions.TypeAliasType("Alias", PriceAlert)


@pytest.mark.parametrize(
    "base",
    [
        Event[PriceAlert],
        Event[Alias],
        Open[PriceAlert],
        Keyed[Other, PriceAlert],
        Unrelated[Other],
        Unrelated,
        Deeper[PriceAlert],
        Later[PriceAlert],
    ],
    ids=repr,
)
def test_the_payload_is_found_through_generic_classes(base: Any) -> None:
    """Whichever parameter of whichever class between is the payload's."""

    found = event_class(base, "declared.found")
    assert found.payload_model is PriceAlert
    with pytest.raises(InvalidPayloadError, match=r"payload\.price"):
        found.create(price="much")


@pytest.mark.parametrize(
    "base",
    [Open, Keyed, Deeper, Later, Deeper.__class_getitem__(B), Keyed.__class_getitem__((Other, T))],  # type: ignore[attr-defined]
    ids=repr,
)
def test_a_class_with_a_type_leaves_its_payload_open_no_more(base: Any) -> None:
    """A generic class between may; the one that is published must say."""
    with pytest.raises(InvalidPayloadError, match="is no payload class"):
        event_class(base, "declared.open")


def test_a_payload_model_of_the_class_s_own_is_looked_at() -> None:
    """`payload_model` may be set by hand."""

    class ByHandEvent(Event[Any], type="declared.by_hand"):
        payload_model = PriceAlert

    assert ByHandEvent.create(price=1).payload.price == 1.0
    with pytest.raises(InvalidPayloadError, match="is no payload class"):

        class WrongEvent(Event[Any], type="declared.wrong"):
            payload_model = Model  # type: ignore[assignment]


def test_a_payload_that_is_completed_later_is_checked() -> None:
    """A field may name a class that is defined below it."""

    class Early(Payload):
        inner: "_Below"

    class EarlyEvent(Event[Early], type="declared.early"): ...

    class _Below(Payload):
        price: float

    Early.model_rebuild()
    assert EarlyEvent.create(inner={"price": 1}).payload.inner.price == 1.0
    with pytest.raises(InvalidPayloadError, match="no such field"):
        EarlyEvent.create(inner={"price": 1, "prise": 2})
    with pytest.raises(InvalidPayloadError, match=r"payload\.inner\.price"):
        EarlyEvent.create(inner={"price": "much"})
