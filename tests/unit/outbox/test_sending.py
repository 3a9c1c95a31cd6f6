"""Sending: what is refused for good, and what waits."""

from collections.abc import Callable

import pytest

from qt_events.errors import (
    BackpressureError,
    BrokerBlockedError,
    BusStateError,
    DecodeError,
    PublishNackedError,
    PublishRefusedError,
    TopologyError,
)
from qt_events.events.raw import RawEvent
from qt_events.outbox.relaying.sending import Sending
from qt_events.outbox.rows import Waiting


class Failing:
    """A bus that fails as a test says; `fail` is given the id and the number of the try."""

    def __init__(self, fail: Callable[[str, int], Exception | None]) -> None:
        self._fail = fail
        self.tried: list[str] = []

    async def forward(self, event: RawEvent) -> None:
        self.tried.append(event.id)
        if (error := self._fail(event.id, self.tried.count(event.id))) is not None:
            raise error


def waiting(*ids: str) -> list[Waiting]:
    """Return rows; the first letter of an id is its key."""
    return [
        Waiting(number, each[0], "a.b", each, "tests", 0, each, None, b"{}")
        for number, each in enumerate(ids, 1)
    ]


@pytest.mark.parametrize("error", [
    BrokerBlockedError("alarm"), PublishNackedError("full"), TopologyError("changed"),
    BackpressureError("full"), BusStateError("closed"), ConnectionResetError("gone"),
], ids=lambda error: type(error).__name__)  # fmt: skip
async def test_what_may_work_later_holds_its_key(error: Exception) -> None:
    """Nothing of the key goes past it, and its reason is kept."""
    bus = Failing(lambda id_, _: error if id_ == "a1" else None)
    settled = await Sending(bus).send(waiting("a1", "a2", "a3"))
    assert (settled.sent, settled.dead, settled.error) == ([], [], error)
    ((sequence, reason),) = settled.held
    assert (sequence, bus.tried) == (1, ["a1"])
    assert type(error).__name__ in reason


@pytest.mark.parametrize("error", [
    PublishRefusedError("too large"), DecodeError("no such class"), ZeroDivisionError("middleware"),
], ids=lambda error: type(error).__name__)  # fmt: skip
async def test_what_never_works_is_dead_and_the_key_goes_on(error: Exception) -> None:
    bus = Failing(lambda id_, _: error if id_ == "a1" else None)
    settled = await Sending(bus).send(waiting("a1", "a2", "b1"))
    assert sorted(settled.sent) == [2, 3]
    ((sequence, reason),) = settled.dead
    assert (sequence, settled.error) == (1, None)
    assert str(error) in reason


async def test_a_refusal_counts_the_second_time() -> None:
    """The first one may be about an exchange that is declared again."""
    bus = Failing(lambda _, number: PublishRefusedError("no exchange") if number == 1 else None)
    settled = await Sending(bus).send(waiting("a1"))
    assert (settled.sent, settled.dead, bus.tried) == ([1], [], ["a1", "a1"])


async def test_nothing_is_begun_after_the_stop() -> None:
    bus = Failing(lambda *_: None)
    sending = Sending(bus)
    sending.stop()
    settled = await sending.send(waiting("a1", "b1"))
    assert (settled.sent, bus.tried) == ([], [])
