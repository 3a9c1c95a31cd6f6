"""Fates of attempts that several processes made: each process tells its own, some time later."""

import pytest

from qt_events.history import EventFilter, History
from qt_events.history.conversations.stories import stories_of
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.buses import MakeBus
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import publish
from tests.support.waiting import until_told

EVENTS = 40
pytestmark = pytest.mark.serves("failing")


async def test_attempts_of_two_children_are_shown_in_their_order(
    fleet: Fleet, client: CeleryEventBus, make_bus: MakeBus, tmp_path: str
) -> None:
    """The one that told its attempt later may have made it before: the number tells that."""
    history, bus = History(f"sqlite:///{tmp_path}/events.db"), make_bus()
    history.attach(bus)
    store = history.store
    async with bus:
        await fleet.start("-P", "processes", "-c", "2")
        events = [await publish(client, "failing", n=n) for n in range(EVENTS)]
        ids = [each.id for each in events]
        await until_told(lambda: len(store.fates_of(ids)) == 2 * EVENTS, 100.0)
    told = store.fates_of(ids)
    assert len({each.worker for each in told}) == 2
    for event in events:
        [story] = stories_of([each for each in told if each.event_id == event.id])
        attempts = [(each.attempt, each.outcome) for each in story.fates]
        assert attempts == [(1, "retried"), (2, "dead")]
    assert len(store.page(EventFilter(dead=True))) == EVENTS
    assert store.page(EventFilter(retrying=True)) == []
    store.close()
