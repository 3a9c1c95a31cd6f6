"""Dead letters on the broker: a retry is one subscription's, and removes nothing too early."""

import asyncio
from typing import Any

import amqp
import pytest

from qt_events import RetryPolicy
from qt_events.dead_letters.scan import Progress
from qt_events.errors import (
    IncompleteDeadLetterError,
    PublishTimeoutError,
    UnknownDeadLetterError,
    UnknownSubscriptionError,
)
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.integration.dead_letters.fallible import (
    ONCE,
    Fallible,
    event,
    handled,
    listed,
    publish_dead,
    publish_raw,
)
from tests.support.channels import channel_to, depth
from tests.support.lasting import lasting
from tests.support.waiting import until, until_told

TWICE = RetryPolicy(max_attempts=2, initial=0, jitter=0)


async def numbers_of(bus: CeleryEventBus, subscription: str = "fallible") -> list[str]:
    return [record.message.removeprefix("number ") for record in await listed(bus, subscription)]


async def test_a_retry_is_for_that_subscription_alone(bus: CeleryEventBus) -> None:
    """Others that had the event do not get it again, and attempts start again."""
    failing, other = Fallible(), Fallible()
    bus.subscribe("number.*", failing.handle, name="failing", retry=TWICE)
    bus.subscribe("number.*", other.handle, name="other", retry=ONCE)
    await handled(bus, 1)
    (record,) = await listed(bus, "failing")
    assert (failing.heard, other.heard, record.attempts) == ([1, 1], [1], 2)
    await bus.dead_letters.retry(record.id)
    assert await listed(bus, "failing") == []
    await handled(bus)
    (again,) = await listed(bus, "failing")
    assert (failing.heard, other.heard, again.attempts) == ([1] * 4, [1], 2)
    assert again.event_id == record.event_id
    assert again.id != record.id
    assert len(await listed(bus, "other")) == 1


async def test_a_mended_handler_gets_all_of_them_in_order(
    bus: CeleryEventBus, handler: Fallible
) -> None:
    """retry_all returns their number, and leaves none."""
    await handled(bus, *range(20))
    handler.fails = False
    handler.heard.clear()
    assert await bus.dead_letters.retry_all("fallible") == 20
    assert await listed(bus) == []
    await handled(bus)
    assert handler.heard == list(range(20))
    assert await bus.dead_letters.retry_all("fallible") == 0


async def test_one_out_of_the_middle_goes_and_the_others_keep_their_order(
    bus: CeleryEventBus, handler: Fallible
) -> None:
    """One is discarded, another is retried."""
    await handled(bus, *range(6))
    records = await listed(bus)
    await bus.dead_letters.discard(records[2].id)
    assert await numbers_of(bus) == ["0", "1", "3", "4", "5"]
    await bus.dead_letters.retry(records[4].id)
    assert await numbers_of(bus) == ["0", "1", "3", "5"]
    handler.fails = False
    handler.heard.clear()
    await handled(bus)
    assert handler.heard == [4]


async def test_an_operator_without_the_handlers_can_act_too(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """A bus without subscriptions finds by id what it has listed by name."""
    await handled(bus, 1, 2)
    operator = CeleryEventBus(amqp_url, publish_timeout=20)
    first, second = await listed(operator)
    assert await operator.dead_letters.show(first.id) == first
    await operator.dead_letters.retry(first.id)
    await operator.dead_letters.discard(second.id)
    assert await listed(operator) == []
    await asyncio.to_thread(operator.close)
    handler.fails = False
    handler.heard.clear()
    async with bus:
        await until(lambda: handler.heard)
    assert handler.heard == [1]


async def test_a_retry_that_is_not_confirmed_removes_nothing(
    bus: CeleryEventBus, handler: Fallible, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is safe before the dead letter goes; join() waits for no copy that was not sent."""
    await handled(bus, 1, 2)
    before = await listed(bus)

    async def timing_out(*_: Any, **__: Any) -> bool:
        raise PublishTimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(bus.publisher, "ask", timing_out)
        with pytest.raises(PublishTimeoutError):
            await bus.dead_letters.retry(before[0].id)
        with pytest.raises(PublishTimeoutError):
            await bus.dead_letters.retry_all("fallible")
    assert await listed(bus) == before
    assert len(bus.outstanding) == 0


@pytest.mark.parametrize("act", ["show", "retry", "discard"])
async def test_an_unknown_id_is_a_named_error(
    bus: CeleryEventBus, handler: Fallible, act: str
) -> None:
    """The other dead letters are left alone."""
    await handled(bus, 1)
    with pytest.raises(UnknownDeadLetterError, match="'nonesuch'"):
        await getattr(bus.dead_letters, act)("nonesuch")
    assert await numbers_of(bus) == ["1"]


async def test_dead_letters_without_ids_can_be_told_apart_and_sent_back(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """A producer may give no message ids to events that expire."""
    await lasting(bus)
    for number in range(3):
        await asyncio.to_thread(publish_raw, amqp_url, b'{"number": %d}' % number, expiration="1")
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible") == 3)
    records = await listed(bus)
    assert len({record.id for record in records}) == 3
    await bus.dead_letters.discard(records[1].id)
    await bus.dead_letters.retry(records[0].id)
    assert await listed(bus) == records[2:]


async def test_a_broadcast_dead_letter_goes_back_to_its_process(bus: CeleryEventBus) -> None:
    """Each process has its own queue; the other processes' handlers did not fail."""
    here = Fallible()
    bus.subscribe("#", here.handle, name="state", broadcast=True, retry=ONCE)
    await handled(bus, 1)
    (record,) = await listed(bus, "state")
    here.fails = False
    await bus.dead_letters.retry(record.id)
    await handled(bus)
    assert here.heard == [1, 1]
    assert await listed(bus, "state") == []


async def test_the_beginning_of_an_event_is_not_sent_back(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """The beginning would be another event, so it is a named error; retry_all skips it."""
    await lasting(bus)
    headers = {"qt-body-size": 20_000_000, "qt-id": "beginning"}
    await asyncio.to_thread(publish_dead, amqp_url, [b'{"number": 1'], application_headers=headers)
    with pytest.raises(IncompleteDeadLetterError, match="'beginning' of 'fallible'"):
        await bus.dead_letters.retry("beginning")
    told: list[Progress] = []
    assert await bus.dead_letters.retry_all("fallible", on_progress=told.append) == 0
    assert told == [Progress(total=1, skipped=1)]
    assert [(letter.id, letter.whole) for letter in await listed(bus)] == [("beginning", False)]


async def test_nothing_is_sent_back_to_a_subscription_that_is_gone(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """The event would end in the lost queue, so it is a named error, and stays where it is."""
    await lasting(bus)
    await asyncio.to_thread(publish_dead, amqp_url, [b"{}"], message_id="m-1")
    with channel_to(amqp_url) as channel:
        channel.queue_delete("qt.sub.fallible")
    operator = CeleryEventBus(amqp_url)
    with pytest.raises(UnknownSubscriptionError, match=r"no queue 'qt\.sub\.fallible'"):
        await operator.dead_letters.retry_many(["m-1"], subscription="fallible")
    assert await operator.dead_letters.retry_all("fallible") == 0
    assert (depth(amqp_url, "qt.dead.fallible"), depth(amqp_url, "qt.lost")) == (1, 0)
    await asyncio.to_thread(operator.close)


async def test_retries_of_a_removed_subscription_end_in_lost(
    bus: CeleryEventBus, amqp_url: str
) -> None:
    """The retry is kept there, and another subscription's through the same level comes on time."""
    removed, staying = Fallible(), Fallible()
    later = RetryPolicy(max_attempts=2, initial=1.5, jitter=0)
    bus.subscribe("#", removed.handle, name="removed", retry=later)
    bus.subscribe("#", staying.handle, name="staying", retry=later)
    serving = asyncio.create_task(bus.run_forever())
    await bus.publish(event(1))
    await until_told(lambda: depth_or_none(amqp_url, "qt.retry.1600") == 2)
    staying.fails = False
    bus.unsubscribe("#", removed.handle)
    with channel_to(amqp_url) as channel:
        channel.queue_delete("qt.sub.removed")
    await until_told(lambda: depth(amqp_url, "qt.lost") == 1)
    await until(lambda: staying.heard == [1, 1])
    assert removed.heard == [1]
    bus.stop()
    await serving


def depth_or_none(url: str, queue: str) -> int | None:
    try:
        return depth(url, queue)
    except amqp.exceptions.NotFound:
        return None
