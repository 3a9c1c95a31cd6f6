"""Spool on a broker that is killed, under an alarm, or refuses: nothing is lost or overtaken."""

import asyncio
from pathlib import Path

import pytest

from qt_events import Published
from qt_events.outbox.spool.looking import entries, retry
from qt_events.testing.broker import PrivateBroker
from tests.integration.publisher.numbered_events import event, taken, within
from tests.integration.publisher.spooled_events import (
    AFTER,
    MakeSpooling,
    first_of_each,
    is_direct,
    making,
    publish_until_confirmed,
)
from tests.support.buses import MakeBus
from tests.support.waiting import until


@pytest.fixture
def make(make_bus: MakeBus, node_url: str, path: Path) -> MakeSpooling:
    return making(make_bus, node_url, path)


async def test_order_is_kept_across_an_outage_whoever_publishes(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str
) -> None:
    """What was in flight is spooled before what comes later, and nothing overtakes the spool."""
    bus = make()
    await bus.publish(event(0))
    await asyncio.to_thread(harmed.settle)
    await asyncio.to_thread(harmed.kill)
    with within(AFTER):
        found = await asyncio.gather(*(bus.publish(event(number)) for number in range(1, 300)))
    assert set(found) == {Published.SPOOLED}
    with within(AFTER):
        found = [await bus.publish(event(number)) for number in range(300, 320)]
    assert set(found) == {Published.SPOOLED}
    assert bus.get_stats()["spool"]["waiting"] == 319
    restarting = asyncio.create_task(asyncio.to_thread(harmed.restart))
    last = await publish_until_confirmed(bus, 320)
    # Many at once while the way changes and after it.
    await asyncio.gather(*(bus.publish(event(number)) for number in range(last, last + 50)))
    await restarting
    numbers = await asyncio.to_thread(taken, node_url)
    assert first_of_each(numbers) == list(range(last + 50))


async def test_an_alarm_is_an_outage(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str
) -> None:
    """Publishes are spooled while the broker takes none, and are sent when it does."""
    bus = make()
    await bus.publish(event(0))
    await asyncio.to_thread(harmed.block)
    with within(AFTER):
        found = await asyncio.gather(*(bus.publish(event(number)) for number in range(1, 50)))
    assert set(found) == {Published.SPOOLED}
    await asyncio.to_thread(harmed.unblock)
    last = await publish_until_confirmed(bus, 50)
    assert first_of_each(await asyncio.to_thread(taken, node_url)) == list(range(last))


_DENY = """
ok = rabbit_auth_backend_internal:set_topic_permissions(
   <<"guest">>, <<"{vhost}">>, <<"qt.events">>, <<"^(?!secret)">>, <<".*">>, <<"test">>).
"""
_ALLOW = """
ok = rabbit_auth_backend_internal:clear_topic_permissions(<<"guest">>, <<"{vhost}">>, <<"test">>).
"""


async def test_what_the_broker_refuses_is_set_aside_and_sent_when_an_operator_says_so(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str, path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It does not block the rest, and its reason is kept."""
    vhost = node_url.rpartition("/")[2]
    bus = make()
    await bus.publish(event(0))
    await asyncio.to_thread(harmed.evaluate, _DENY.format(vhost=vhost))
    await asyncio.to_thread(harmed.block)
    refused = event(2, "secret.told")
    for each in (event(1), refused, event(3)):
        assert await bus.publish(each) is Published.SPOOLED
    await asyncio.to_thread(harmed.unblock)
    await until(lambda: bus.get_stats()["spool"]["aside"] == 1, what="it is set aside")
    await until(lambda: is_direct(bus), what="the rest is sent")
    (aside,) = entries(path, aside=True, limit=10)
    assert (aside.id, aside.type) == (refused.id, "secret.told")
    assert "ACCESS_REFUSED" in str(aside.reason)
    assert refused.id in caplog.text
    assert first_of_each(await asyncio.to_thread(taken, node_url)) == [0, 1, 3]
    await asyncio.to_thread(harmed.evaluate, _ALLOW.format(vhost=vhost))
    assert retry(path, refused.id) == 1
    await until(lambda: bus.get_stats()["spool"]["aside"] == 0, what="it waits again")
    await until(lambda: is_direct(bus), what="it is sent")
    assert await asyncio.to_thread(taken, node_url) == [2]
