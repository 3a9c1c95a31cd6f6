"""Many beside each other, or one alone."""

import asyncio

from qt_events.rabbitmq.pools.exclusive_gate import Solitude


async def test_one_who_is_to_be_alone_waits_until_all_have_left() -> None:
    """And nobody enters meanwhile."""
    solitude = Solitude()
    solitude.enter()
    alone = asyncio.create_task(solitude.begin(10))
    await asyncio.sleep(0)
    assert solitude.closed
    assert not alone.done()
    solitude.leave()
    assert await alone


async def test_others_enter_when_it_ends() -> None:
    """Those that waited."""
    solitude = Solitude()
    await solitude.begin(10)
    other = asyncio.create_task(solitude.opened())
    with solitude.at_most(10):
        await asyncio.sleep(0)
        assert not other.done()
    await other
    assert not solitude.closed


async def test_who_does_not_leave_is_not_waited_for_without_end() -> None:
    """All may enter again then."""
    solitude = Solitude()
    solitude.enter()
    assert not await solitude.begin(0.01)
    assert not solitude.closed


async def test_one_that_takes_long_keeps_the_others_no_longer() -> None:
    """It is one among others then: the next one to be alone waits for its end, which does not end that solitude."""
    solitude = Solitude()
    await solitude.begin(10)
    with solitude.at_most(0.01):
        await solitude.opened()
        next_one = asyncio.create_task(solitude.begin(10))
        await asyncio.sleep(0.01)
        assert not next_one.done()
    assert await next_one
    assert solitude.closed


async def test_two_are_alone_one_after_the_other() -> None:
    """Never together."""
    solitude, inside = Solitude(), []

    async def be_alone(name: str) -> None:
        await solitude.begin(10)
        with solitude.at_most(10):
            inside.append(name)
            await asyncio.sleep(0.005)
            inside.append(name)

    await asyncio.gather(*(be_alone(name) for name in "abc"))
    assert inside == [name for name in "abc" for _ in range(2)]


async def test_a_reservation_lets_nobody_in_between() -> None:
    """Not even those that were waiting."""
    solitude = Solitude()
    await solitude.begin(10)
    other = asyncio.create_task(solitude.opened())
    await asyncio.sleep(0)
    with solitude.at_most(10):
        pass
    solitude.reserve("me", 10)
    await asyncio.sleep(0.01)
    assert not other.done()
    assert solitude.reserved_for == "me"
    solitude.end()
    await other


async def test_a_reservation_that_nobody_takes_up_ends() -> None:
    """The copy went to another process."""
    solitude = Solitude()
    solitude.reserve("me", 0.01)
    await solitude.opened()
    assert solitude.reserved_for is None


async def test_whoever_is_cancelled_while_waiting_to_be_alone_lets_the_others_in() -> None:
    """A worker stops."""
    solitude = Solitude()
    solitude.enter()
    alone = asyncio.create_task(solitude.begin(10))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.gather(alone, return_exceptions=True)
    assert not solitude.closed
