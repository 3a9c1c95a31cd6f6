"""Starts over RabbitMQ whose recorder is cut off at each of its steps in turn."""

import asyncio
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from itertools import count
from typing import Any

import pytest

from qt_events import Event
from qt_events.history import History
from qt_events.rabbitmq.starting import feeder, feeding
from qt_events.rabbitmq.starting.feeding import Feeding
from qt_events.rabbitmq.starting.line import Line
from tests.support.buses import MakeBus
from tests.support.starts import stands
from tests.support.waiting import until, until_told

pytestmark = pytest.mark.timeout(300)

OLD, BATCH = 90, 40  # events; more than two batches


class Cuts:
    """Cuts the recorder's connection at its nth step, once: nothing but store and broker is left.

    A step is each publish, look into the newcomer's queue and acknowledgement, before and after it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.step, self.happened = 0, 0, False
        steps = [(Line, name) for name in ("publish", "take", "settle", "done")]
        for owner, name in (*steps, (Feeding, "_keep")):
            monkeypatch.setattr(owner, name, self._cutting(getattr(owner, name)))
        monkeypatch.setattr(feeder, "_AGAIN", 0.02)
        monkeypatch.setattr(feeding, "BATCH", BATCH)

    def arm(self, at: int) -> None:
        """Cut at this step from now on."""
        self.at, self.step, self.happened = at, 0, False

    def _cutting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def cutting(owner: Any, *args: Any) -> Any:
            line = owner if isinstance(owner, Line) else owner.line
            self._pass(line)
            result = method(owner, *args)
            self._pass(line)
            return result

        return cutting

    def _pass(self, line: Line) -> None:
        self.step += 1
        if self.step == self.at:
            self.happened = True
            line.raw.transport.sock.shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError("the recorder is cut off")


async def test_a_recorder_cut_off_at_any_step_leaves_no_gap(
    amqp_url: str, make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old events come in order, then live ones; at most one batch comes twice."""
    cuts = Cuts(monkeypatch)
    recording, bus = make_bus(), make_bus()
    History().attach(recording)
    async with recording, bus:
        for at in count(1):
            cuts.arm(at)
            handled = await _one_start(bus, amqp_url, f"cut{at}")
            first_times = list(dict.fromkeys(handled))
            assert first_times == list(range(len(first_times))), f"at step {at}: {handled}"
            assert len(handled) - len(first_times) <= BATCH, f"at step {at}: {handled}"
            if not cuts.happened:
                break
    # Steps of three batches, a fence, the queue's head, the end, and their bookmarks.
    assert at > 20


async def _one_start(bus: Any, url: str, name: str) -> list[int]:
    handled = list[int]()

    async def handle(event: Event[Any]) -> None:
        handled.append(event.payload["n"])

    async def publish(n: int) -> None:
        await bus.publish(Event(f"{name}.happened", None, {"n": n}))

    numbers, began = count(), datetime.now(UTC)
    for _ in range(OLD):
        await publish(next(numbers))
    bus.subscribe(f"{name}.#", handle, name=name, start=began)
    await publish(next(numbers))
    is_over = asyncio.Event()

    async def go_on() -> None:
        while not is_over.is_set():
            await publish(next(numbers))
            await asyncio.sleep(0.005)

    going_on = asyncio.create_task(go_on())
    what = f"the past of {name} is over"
    await until_told(lambda: not stands(url, f"qt.start.{name}"), 60, what)
    is_over.set()
    await going_on
    last = next(numbers)
    await publish(last)
    await until(lambda: last in handled, 60, f"{name} hears what is published")
    bus.unsubscribe(f"{name}.#", handle)
    return handled
