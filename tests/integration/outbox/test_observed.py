"""The fixture `observed_outbox`, and a relay that sends on the fixture `event_bus`."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from qt_events.outbox import Outbox
from qt_events.outbox.tables import DEAD, SENT, events
from qt_events.testing.observed import ObservedEventBus
from qt_events.testing.observed_outbox import ObservedOutbox
from tests.support.shop import placed, rows
from tests.support.waiting import until


async def test_claims_about_what_waits(
    engine: sa.Engine, outbox: Outbox, observed_outbox: Callable[[Outbox], ObservedOutbox]
) -> None:
    """One that is rolled back, sent or dead does not wait."""
    observed = observed_outbox(outbox)
    await observed.assert_nothing_waiting()
    with engine.begin() as connection:
        for each in ("1", "2", "dead"):
            outbox.add(connection, placed(each))
        dead = sa.update(events).where(events.c.id == "dead").values(state=DEAD, reason="too large")
        connection.execute(dead)
    with engine.connect() as connection:
        connection.begin()
        outbox.add(connection, placed("no"))
    found = await observed.assert_waiting("order.*", times=2)
    assert [each.id for each in found] == ["1", "2"]
    (only,) = await observed.assert_waiting(where=lambda event: event.payload["order"] == "2")
    assert only.id == "2"
    with pytest.raises(AssertionError) as failed:
        await observed.assert_waiting("trade.#")
    text = str(failed.value)
    assert "'trade.#' waiting" in text
    assert "0 times, expected at least once" in text
    assert "order.placed (id 1, waiting) {'order': '1'}" in text
    assert "order.placed (id dead, dead: too large)" in text
    with pytest.raises(AssertionError, match="2 times, expected 0 times"):
        await observed.assert_nothing_waiting()


async def test_a_relay_sends_on_the_fixture(
    engine: sa.Engine, outbox: Outbox, event_bus: ObservedEventBus
) -> None:
    async def pack(event: Any) -> None: ...

    event_bus.subscribe("order.placed", pack, name="packing")
    async with outbox.relay(event_bus):
        with engine.begin() as connection:
            outbox.add(connection, placed("1"))
        await until(lambda: rows(engine, SENT) == ["1"])
    await event_bus.join()
    event_bus.assert_delivered("packing", times=1)
