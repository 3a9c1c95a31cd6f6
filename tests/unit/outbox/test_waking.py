"""Waking: a relay looks soon after an event was added, and ever more seldom until it is there."""

import asyncio

import pytest

from qt_events.outbox.relaying.waking import Sleeper, wake


class Clock:
    """Notes how long a sleeper would sleep."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[float] = []
        self._timeout = asyncio.timeout
        monkeypatch.setattr(asyncio, "timeout", self.timeout)

    def timeout(self, seconds: float) -> asyncio.Timeout:
        self.asked.append(seconds)
        return self._timeout(0)


async def test_looks_take_twice_as_long_until_they_are_the_usual_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, sleeper = Clock(monkeypatch), Sleeper("here")
    wake("elsewhere")
    wake("here")
    await asyncio.sleep(0)
    for _ in range(6):
        sleeper.begin()
        await sleeper.sleep(0.01)
    assert clock.asked == [0.001, 0.002, 0.004, 0.008, 0.01, 0.01]


async def test_another_thread_may_wake_it() -> None:
    sleeper = Sleeper("here")
    sleeping = asyncio.create_task(sleeper.sleep(1000))
    await asyncio.sleep(0)
    await asyncio.to_thread(wake, "here")
    await asyncio.wait_for(sleeping, 60)


async def test_nothing_is_expected_where_postgresql_wakes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, sleeper = Clock(monkeypatch), Sleeper("here")
    sleeper.is_listening = True
    wake("here")
    await asyncio.sleep(0)
    await sleeper.sleep(5)
    assert clock.asked == [5]
