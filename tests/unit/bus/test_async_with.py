"""Hosted: `async with bus:`."""

import asyncio
from typing import Any

import pytest

from qt_events.bus import Hosted
from qt_events.delivery.publishing.published import Published
from qt_events.errors import BusStateError
from qt_events.events.event import Event


class Host(Hosted):
    """Bus that notes each call."""

    def __init__(self, *, fails: Exception | None = None, late: Exception | None = None) -> None:
        self.grace = 1.5
        self.notes: list[str] = []
        self.ready, self.ended = asyncio.Event(), asyncio.Event()
        self.fails, self.late = fails, late

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> Published:
        raise NotImplementedError

    async def run_forever(self, *, handle_signals: bool = False) -> None:
        self.notes.append("runs")
        if self.fails:
            raise self.fails
        self.ready.set()
        await self.ended.wait()

    async def join(self, timeout: float | None = None) -> None:
        self.notes.append(f"joins for {timeout}")
        if self.late:
            raise self.late

    def stop(self) -> None:
        self.notes.append("stops")
        self.ended.set()

    def _forget_stop(self) -> None:
        self.ended.clear()

    async def _started(self) -> None:
        await self.ready.wait()
        self.notes.append("started")


async def test_started_drained_and_stopped() -> None:
    """The body runs once it delivers; then it is drained, for `grace` seconds, and stopped."""
    host = Host()
    async with host:
        assert host.notes == ["runs", "started"]
    assert host.notes == ["runs", "started", "joins for 1.5", "stops"]


async def test_an_error_of_run_forever_is_raised_at_the_head() -> None:
    """`async with` of a bus that cannot run raises why."""
    with pytest.raises(OSError, match="away"):
        async with asyncio.timeout(5), Host(fails=OSError("away")):
            pytest.fail("the body ran")


@pytest.mark.parametrize("late", [TimeoutError("still 3 events"), BusStateError("still 3 events")])
async def test_work_that_is_left_is_reported(
    late: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Events without an outcome after the grace period are a warning, not an error."""
    async with Host(late=late):
        pass
    assert "still 3 events" in caplog.text


async def test_left_by_an_error_it_is_not_drained() -> None:
    """The error comes through, and nobody waits for retries."""
    host = Host()
    with pytest.raises(LookupError):
        async with host:
            raise LookupError
    assert host.notes == ["runs", "started", "stops"]


async def test_cancelled_while_it_starts_it_does_not_run_on() -> None:
    """Giving up while the bus starts leaves nothing running."""
    host = Host()
    host.ready.wait = asyncio.Event().wait  # type: ignore[method-assign]  # never
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), host:
            pytest.fail("the body ran")
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
