"""A handler that does not end: the worker ends after the grace all the same, and names it."""

import signal

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import publish
from tests.support.waiting import until

PROGRAM = ("-m", "celery", "-A", "ending_app", "worker")


@pytest.mark.parametrize("signals", [1, 2])
@pytest.mark.serves("stubborn", "stubborn_child", "stuck")
async def test_a_worker_ends_after_its_grace_whatever_its_handlers_do(
    signals: int, fleet: Fleet, client: CeleryEventBus
) -> None:
    """One that swallows CancelledError, one whose task does, and one that blocks its thread."""
    names = ("stubborn", "stubborn_child", "stuck")
    grace = "0.5" if signals == 1 else "60"
    worker = await fleet.start("-c", "2", program=PROGRAM, FLEET_GRACE=grace)
    events = {name: await publish(client, name) for name in names}
    for name in names:
        await fleet.until_called(name, event=events[name])
    for _ in range(signals):
        worker.send(signal.SIGTERM)
        # Two at once would be one.
        await until(lambda: "Warm shutdown" in worker.output)
    assert await worker.ended(30) == 0, worker.output
    assert "handlers that run: stubborn, stubborn_child, stuck" in worker.output
    for name in names[:2]:
        assert f"{name}: 1 of its handlers went on" in worker.output
    await fleet.start("-c", "2", program=PROGRAM)
    for name in names:
        await fleet.until_called(name, 2, events[name])
