"""The gate lets in many handlers, or one alone."""

import asyncio

from qt_events.rabbitmq.pools.exclusive_gate import ExclusiveGate


async def test_one_who_is_to_be_alone_waits_until_all_have_left() -> None:
    """The gate is closed meanwhile."""
    gate = ExclusiveGate()
    gate.enter()
    alone = asyncio.create_task(gate.begin(10))
    await asyncio.sleep(0)
    assert gate.closed
    assert not alone.done()
    gate.leave()
    assert await alone


async def test_others_enter_when_it_ends() -> None:
    """The gate opens for those that waited."""
    gate = ExclusiveGate()
    await gate.begin(10)
    other = asyncio.create_task(gate.opened())
    with gate.at_most(10):
        await asyncio.sleep(0)
        assert not other.done()
    await other
    assert not gate.closed


async def test_who_does_not_leave_is_not_waited_for_without_end() -> None:
    """The gate is open again afterwards."""
    gate = ExclusiveGate()
    gate.enter()
    assert not await gate.begin(0.01)
    assert not gate.closed


async def test_one_that_takes_long_keeps_the_others_no_longer() -> None:
    """The next one to be alone waits for its end, which does not open the gate again."""
    gate = ExclusiveGate()
    await gate.begin(10)
    with gate.at_most(0.01):
        gate.enter()
        await gate.opened()
        next_one = asyncio.create_task(gate.begin(10))
        await asyncio.sleep(0.01)
        assert not next_one.done()
        gate.leave()
    assert await next_one
    assert gate.closed


async def test_two_are_alone_one_after_the_other() -> None:
    """Never together."""
    gate, inside = ExclusiveGate(), []

    async def be_alone(name: str) -> None:
        await gate.begin(10)
        with gate.at_most(10):
            inside.append(name)
            await asyncio.sleep(0.005)
            inside.append(name)

    await asyncio.gather(*(be_alone(name) for name in "abc"))
    assert inside == [name for name in "abc" for _ in range(2)]


async def test_a_reservation_lets_nobody_in_between() -> None:
    """The gate stays closed for those that were waiting too."""
    gate = ExclusiveGate()
    await gate.begin(10)
    other = asyncio.create_task(gate.opened())
    await asyncio.sleep(0)
    with gate.at_most(10):
        pass
    gate.reserve("me", 10)
    await asyncio.sleep(0.01)
    assert not other.done()
    assert gate.reserved_for == "me"
    gate.end()
    await other


async def test_nothing_is_reserved_beside_another_one() -> None:
    """Whoever has the name would be handled in company, which the reservation denies."""
    gate = ExclusiveGate()
    gate.enter()
    gate.reserve("me", 10)
    assert not gate.closed
    assert gate.reserved_for is None


async def test_a_reservation_that_nobody_takes_up_ends() -> None:
    """The copy went to another process."""
    gate = ExclusiveGate()
    gate.reserve("me", 0.01)
    await gate.opened()
    assert gate.reserved_for is None


async def test_whoever_is_cancelled_while_waiting_to_be_alone_lets_the_others_in() -> None:
    """A worker stops."""
    gate = ExclusiveGate()
    gate.enter()
    alone = asyncio.create_task(gate.begin(10))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.gather(alone, return_exceptions=True)
    assert not gate.closed
