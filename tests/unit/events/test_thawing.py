"""What a payload class may bring that would thaw its payloads, and does not."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import (
    Field,
)

from qt_events.events.payload import Payload
from tests.unit.events.carried_payloads import (
    AfterAllUnfrozen,
    event_class,
    of,
    payload,
)


class Thawed(Payload):
    tags: list[str]
    more: dict[str, Any] = Field(default_factory=dict)

    def model_post_init(self, _context: Any, /) -> None:
        """Leave out super(), as pydantic's own documentation does."""


class ThawedPrivate(Payload):
    tags: list[str]
    _seen: int = 0


class ThawedSubclass(ThawedPrivate):
    other: int = 0


class ThawedNested(Payload):
    inner: AfterAllUnfrozen


def thawed_by_more() -> Any:
    model = payload({"extra": "allow"}, a=int)
    return event_class(model).create(a=1, tags=["a"]).payload.tags


@pytest.mark.parametrize(
    "tags",
    [
        lambda: Thawed(tags=["a"]).tags,
        lambda: ThawedPrivate(tags=["a"]).tags,
        lambda: ThawedSubclass(tags=["a"]).tags,
        lambda: of(AfterAllUnfrozen)().payload.tags,
        lambda: of(ThawedNested, inner={})().payload.inner.tags,
        thawed_by_more,
    ],
)
def test_nothing_of_a_class_thaws_its_payloads(tags: Callable[[], Any]) -> None:
    """Work after init, private attributes, validators and further fields leave it frozen."""
    with pytest.raises(TypeError, match="immutable"):
        tags().append("b")
