"""Dead letters of the bus in memory: listed by subscription, and sent back by its name."""

from unittest.mock import AsyncMock

import pytest

from qt_events.delivery.retry import RetryPolicy
from qt_events.errors import UnknownSubscriptionError
from qt_events.memory import InMemoryEventBus
from tests.unit.memory.gate import event

ONCE = RetryPolicy(max_attempts=1)


async def test_a_dead_letter_goes_back_to_whoever_has_the_name_now() -> None:
    """A mended handler under the same name gets the dead letters of the broken one."""
    bus, mended = InMemoryEventBus(), AsyncMock()
    broken = AsyncMock(side_effect=OSError)
    bus.subscribe("unit.memory", broken, name="ledger", retry=ONCE)
    async with bus:
        await bus.publish(event())
        await bus.join(40)
        [letter] = await bus.dead_letters.list()
        bus.unsubscribe("unit.memory", broken)
        with pytest.raises(UnknownSubscriptionError, match="ledger"):
            await bus.dead_letters.retry(letter.id)
        assert await bus.dead_letters.list() == [letter]
        bus.subscribe("unit.memory", mended, name="ledger")
        await bus.dead_letters.retry(letter.id)
        await bus.join(40)
    assert mended.await_count == 1
    assert await bus.dead_letters.list() == []


async def test_dead_letters_are_listed_by_subscription() -> None:
    """list() shows all; list(name) one subscription's; retry_all() sends only those back."""
    bus = InMemoryEventBus()
    handlers = {name: AsyncMock(side_effect=OSError) for name in ("a", "b")}
    for name, handler in handlers.items():
        bus.subscribe("unit.memory", handler, name=name, retry=ONCE)
    async with bus:
        await bus.publish(event())
        await bus.join(40)
        assert {letter.subscription for letter in await bus.dead_letters.list()} == {"a", "b"}
        assert [letter.subscription for letter in await bus.dead_letters.list("a")] == ["a"]
        assert await bus.dead_letters.retry_all("a") == 1
        await bus.join(40)
    assert (handlers["a"].await_count, handlers["b"].await_count) == (2, 1)
