"""A hard stop: what fails because the process ends is not the handler's failure."""

import asyncio
import signal

import pytest

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.fleet.fleet import Fleet
from tests.support.waiting import until

PROGRAM = ("-m", "celery", "-A", "ending_app", "worker")
POOLS = {
    "asyncio": ("-c", "2"),
    "prefork": ("-P", "processes", "-c", "2"),
    "threads": ("-P", "threads", "-c", "4"),
    "solo": ("-P", "solo"),
}
SIGINT, SIGQUIT, SIGTERM = signal.SIGINT, signal.SIGQUIT, signal.SIGTERM
#: Signals, and the environment of the worker.
STOPS = {
    "quit": ([SIGQUIT], {}),
    "quit-quit-quit": ([SIGQUIT] * 3, {}),
    "ctrl-c-thrice": ([SIGINT] * 3, {}),
    "remapped": ([SIGTERM], {"REMAP_SIGTERM": "SIGQUIT"}),
    "remapped-thrice": ([SIGTERM] * 3, {"REMAP_SIGTERM": "SIGQUIT"}),
}
EVENTS = 60
HANDLERS = ("threaded", "offloading", "publishing")


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves(*HANDLERS)
async def test_a_hard_stop_makes_no_dead_letters(
    pool: str, stop: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """Threads, loops and publishers that are closed meanwhile fail nothing: the event goes back.

    None of the handlers has a second attempt, so any failure is a dead letter.
    """
    signals, environment = STOPS[stop]
    worker = await fleet.start(*POOLS[pool], program=PROGRAM, ready=False, **environment)
    await until(lambda: fleet.ready)
    events: list[Event] = [Event(name) for _ in range(EVENTS) for name in HANDLERS]
    await asyncio.gather(*(client.publish(event) for event in events))
    await until(lambda: sum(len(fleet.calls(name)) for name in HANDLERS) > 5)
    for number in signals:
        worker.send(number)
        await asyncio.sleep(0.05)
    await worker.ended(30)
    records = [each for name in HANDLERS for each in await client.dead_letters.list(name)]
    assert [(each.subscription, each.message) for each in records] == [], worker.output
    assert "attempt 1 failed" not in worker.output


@pytest.mark.parametrize("method", ["Ack", "Cancel"])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("threaded")
async def test_a_signal_may_interrupt_a_write_to_the_broker(
    pool: str, method: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """The worker ends: its handler of the signal writes nothing to the same connection.

    py-amqp has a lock for each write, and the thread that has it would wait for it, for ever.
    """
    worker = await fleet.start(*POOLS[pool], program=PROGRAM, ENDING_STRUCK_IN=method)
    await client.publish(Event("threaded"))
    await fleet.until_called("threaded")
    if method == "Cancel":
        worker.send(SIGTERM)
    await worker.ended()
    assert await client.dead_letters.list("threaded") == []
