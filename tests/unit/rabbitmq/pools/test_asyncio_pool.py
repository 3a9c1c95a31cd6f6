"""AsyncioPool: the end of its threads, and outcomes that wait to be stored."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery.worker import state

from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.outcome import HANDLED, DeadLetter, DeadLetterReason, Failure, Outcome
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.delivery.waiting.lanes import cancel_all
from qt_events.events.event import Event
from qt_events.rabbitmq.handling import attempt
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.messages.survived import SurvivedDeliveries
from qt_events.rabbitmq.messages.unacknowledged import UnacknowledgedEvents
from qt_events.rabbitmq.pools import asyncio_pool, batches
from qt_events.rabbitmq.pools.acks import Acks
from qt_events.rabbitmq.pools.asyncio_delivery import Delivery
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from tests.support.waiting import PATIENCE, until
from tests.unit.delivery.samples import subscription

FAILED = DeadLetter(DeadLetterReason.EXHAUSTED, Failure("OSError", "no"))
ON_TRIAL = {"x-delivery-count": 1}


def started(loop: asyncio.AbstractEventLoop) -> AsyncioPool:
    """Return a pool on the caller's loop that owns a connection and has had one thread to call."""
    app: Any = SimpleNamespace(qt_events_runtime=SimpleNamespace(loop=loop, unacknowledged=None))
    pool = AsyncioPool(limit=1, app=app)
    pool.start()
    pool.resume()
    pool.executor.submit(int).result(PATIENCE)
    return pool


def test_threads_end_with_a_loop_that_was_closed_under_the_pool() -> None:
    """No loop pauses the pool then. While it serves, the end is too early."""
    loop = asyncio.new_event_loop()
    pool = started(loop)
    (thread,) = pool.executor._threads  # noqa: SLF001  # nothing else tells them apart
    pool.stop()
    pool.executor.submit(int).result(PATIENCE)
    loop.close()
    pool.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


class Scene:
    """A pool that serves, whose dead letters are stored only once `storable` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.storable = asyncio.Event()
        self.called: list[str] = []
        self.buried: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.runtime: Any = SimpleNamespace(
            loop=asyncio.get_running_loop(),
            unacknowledged=UnacknowledgedEvents(),
            survived=SurvivedDeliveries(),
            concluded=Mock(),
            concluded_together=Mock(),
        )
        self.pool = AsyncioPool(limit=1, app=Mock(qt_events_runtime=self.runtime))
        self.pool.start()
        self.pool.resume()
        self.acks = self.pool.acks_of(Mock())
        self._tag = 0
        monkeypatch.setattr(asyncio_pool, "begin_attempt", self._begin)
        monkeypatch.setattr(attempt, "bury", self._bury)

    def _begin(self, envelope: Envelope, *_: Any, **__: Any) -> Coroutine[Any, Any, Outcome]:
        return self._handle(envelope)

    async def _handle(self, envelope: Envelope) -> Outcome:
        self.called.append(envelope.event_id)
        return self.outcomes.get(envelope.event_id, HANDLED)

    async def _bury(self, envelope: Envelope, *_: Any) -> None:
        await self.storable.wait()
        self.buried.append(envelope.event_id)

    def delivery(self, subscription: str, *, headers: Any = None, acks: Any = None) -> Delivery:
        """Return a new delivery, whose event has the subscription's name."""
        headers = headers or {}
        envelope = Envelope(
            subscription, subscription, b"{}", {"message_id": subscription}, headers, "happened",
            quarantined=headers is ON_TRIAL,
        )  # fmt: skip
        task: Any = Mock(runtime=self.runtime)
        task.subscription.concurrency, task.subscription.batch = 1, None
        self._tag += 1
        chosen: Acks = acks or self.acks
        chosen.take(self._tag, envelope)
        return Delivery(subscription, task, envelope, self._tag, chosen, "node@host", None)

    async def fails(self, subscription: str, *, headers: Any = None) -> Delivery:
        """Have a handler fail, and return its delivery when the outcome waits."""
        self.outcomes[subscription] = FAILED
        delivery = self.delivery(subscription, headers=headers)
        self.pool.admit(delivery)
        await until(lambda: delivery.outcome is FAILED)
        return delivery

    async def is_handled_alone(self, monkeypatch: pytest.MonkeyPatch) -> bool:
        """Handle an event on trial, and tell whether it was alone."""
        begin, answers = self.pool._gate.begin, []  # noqa: SLF001  # nothing else tells it

        async def noted(patience: float) -> bool:
            answers.append(await begin(patience))
            return answers[-1]

        monkeypatch.setattr(self.pool._gate, "begin", noted)  # noqa: SLF001
        monkeypatch.setattr(asyncio_pool, "_COMPANY", 0.05)
        self.pool.admit(self.delivery("suspect", headers=ON_TRIAL))
        await until(lambda: "suspect" in self.called, 1)
        return answers == [True]


@contextmanager
def clean_state() -> Iterator[None]:
    state.reset_state()
    yield
    state.reset_state()


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Any:
    with clean_state():
        scene = Scene(monkeypatch)
        yield scene
        scene.storable.set()
        lanes = [*scene.pool.lanes.values(), *scene.pool.redeliveries.lanes.values()]
        await cancel_all([("a lane", lane) for lane in lanes])
        scene.pool.void()
        scene.pool.stop()


async def test_an_outcome_that_waits_is_company_to_nobody(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an event on trial counts a death of its process that it may have no part in."""
    await scene.fails("stuck")
    assert await scene.is_handled_alone(monkeypatch)


async def test_an_outcome_from_an_earlier_connection_is_company_to_nobody(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = scene.delivery("stuck")
    delivery.decided(FAILED)
    scene.pool.redeliveries.store(delivery)
    await until(lambda: delivery in state.active_requests)
    assert await scene.is_handled_alone(monkeypatch)


async def test_an_outcome_of_one_on_trial_is_company_no_longer_than_its_trial(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio_pool, "_TRIAL", 0.05)
    await scene.fails("stuck", headers=ON_TRIAL)
    assert await scene.is_handled_alone(monkeypatch)


async def test_an_outcome_whose_storing_was_cancelled_is_stored_and_not_made_again(
    scene: Scene,
) -> None:
    """Its delivery waits at the head of its lane: somebody had the task, and cancelled it."""
    delivery = await scene.fails("stuck")
    (lane,) = scene.pool.lanes.values()
    (worker,) = lane._workers  # noqa: SLF001  # whoever was called by the handler has it
    worker.cancel()
    await until(worker.done)
    scene.storable.set()
    await until(lambda: delivery.acknowledged)
    assert scene.called == ["stuck"]


async def test_an_outcome_on_trial_whose_storing_was_cancelled_holds_nobody_up(
    scene: Scene,
) -> None:
    """To store it needs nobody's absence."""
    delivery = await scene.fails("stuck", headers=ON_TRIAL)
    ((_, lane),) = scene.pool.lanes.items()
    (worker,) = lane._workers  # noqa: SLF001
    worker.cancel()
    await until(lambda: worker.done() and lane.busy)
    scene.pool.admit(scene.delivery("other"))
    await until(lambda: "other" in scene.called, 1)
    scene.storable.set()
    await until(lambda: delivery.acknowledged)
    assert scene.called == ["stuck", "other"]


async def test_outcomes_that_cannot_be_stored_hold_up_those_of_no_other(scene: Scene) -> None:
    """However many they are: subscriptions do not know of each other."""
    for _ in range(150):
        delivery = scene.delivery("stuck")
        delivery.decided(FAILED)
        scene.pool.redeliveries.store(delivery)
    other = scene.delivery("other")
    other.decided(FAILED)
    scene.pool.redeliveries.store(other)
    await until(lambda: other in state.active_requests)
    assert scene.pool.held == 151


async def test_what_waits_to_be_stored_is_cut_off_with_its_consumer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker delivers it again: its outcome is kept for then, and its tag is not used."""
    redeliveries = scene.pool.redeliveries
    # Of one subscription, two of them by its quarantine, one at a time.
    monkeypatch.setattr("qt_events.rabbitmq.pools.redeliveries._AT_A_TIME", 1)
    stored, other = (scene.delivery("cut", headers=ON_TRIAL) for _ in range(2))
    cut = scene.delivery("cut")
    for each in (stored, cut, other):
        each.decided(FAILED)
        redeliveries.store(each)
    await until(lambda: stored in state.active_requests)
    scene.pool.cut_off("cut", quarantined=False)
    assert cut.is_void()
    again = scene.delivery("cut", headers={"x-delivery-count": 1})
    assert redeliveries.knows(again.envelope)
    scene.storable.set()
    await until(lambda: other.acknowledged and stored.acknowledged)
    assert not cut.acknowledged
    redeliveries.take(again, now=True)
    await until(lambda: again.acknowledged)
    assert not scene.called


async def test_what_waits_for_the_loop_is_cut_off_with_its_consumer(scene: Scene) -> None:
    """Its outcome is still there when it comes again."""
    redeliveries = scene.pool.redeliveries
    headers = {"x-delivery-count": 1}
    first, other = (scene.delivery(name, headers=headers) for name in ("cut", "other"))
    for each in (first, other):
        scene.runtime.unacknowledged.add(each.envelope, None)
        redeliveries.take(each, now=False)
    scene.pool.cut_off("cut", quarantined=False)
    redeliveries.resume()
    assert first.is_void()
    assert redeliveries.knows(first.envelope)
    assert not redeliveries.knows(other.envelope)


async def test_what_waits_at_the_gate_is_cut_off_with_its_consumer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event on trial is alone meanwhile. What waited beside it is not handled from there."""
    ended = asyncio.Event()

    async def handle(envelope: Envelope) -> Outcome:
        scene.called.append(envelope.event_id)
        if envelope.event_id == "suspect":
            await ended.wait()
        return HANDLED

    monkeypatch.setattr(scene, "_handle", handle)
    suspect, cut, other = (
        scene.delivery("suspect", headers=ON_TRIAL), scene.delivery("cut"), scene.delivery("other")
    )  # fmt: skip
    for each in (suspect, cut, other):
        each.reserve()
        scene.pool.admit(each)
    await until(lambda: "suspect" in scene.called and scene.pool.lanes.held == 3)
    scene.pool.cut_off("cut", quarantined=False)
    ended.set()
    await until(lambda: other.acknowledged and not scene.pool.lanes.held)
    assert scene.called == ["suspect", "other"]
    assert cut.is_void()
    assert not cut.acknowledged


class BatchScene:
    """Lists of events of a pool. Those with outcomes are not for a handler."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
        self.scene = scene
        self.lists: list[list[str]] = []
        self.cancels = False
        scene.runtime.__dict__.update(
            middleware=MiddlewareStack(),
            watch=None,
            settings=SimpleNamespace(slow_after=9.0),
            subscriptions=Subscriptions(),
        )
        self._served = subscription(print, batch=batch, within=60.0)
        monkeypatch.setattr(batches, "open_message", self._open)
        monkeypatch.setattr(batches, "deliver_batch", self._deliver)

    def _open(self, envelope: Envelope, *_: Any, is_revoked: bool) -> Any:
        outcome = self.scene.outcomes.get(envelope.event_id)
        return outcome or Event("happened", None, {}, id=envelope.event_id)

    async def _deliver(self, events: list[Event[Any]], *_: Any, **__: Any) -> list[Outcome]:
        self.lists.append([event.id for event in events])
        if self.cancels:
            self.cancels = False
            raise asyncio.CancelledError
        return [HANDLED] * len(events)

    def admit(self, name: str) -> Delivery:
        """Admit an event with this id."""
        delivery = self.scene.delivery(name)
        delivery.envelope.subscription = delivery.envelope.key = self._served.name
        delivery.task.subscription = self._served
        self.scene.pool.admit(delivery)
        return delivery


async def test_an_outcome_that_waits_holds_no_batch_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no event for the handler is stored beside the list that is gathered."""
    lists = BatchScene(scene, monkeypatch, 2)
    scene.outcomes["unreadable"] = FAILED
    handled = lists.admit("first")
    unreadable = lists.admit("unreadable")
    lists.admit("second")
    await until(lambda: handled.acknowledged)
    assert lists.lists == [["first", "second"]]
    scene.storable.set()
    await until(lambda: unreadable.acknowledged)


async def test_what_was_revoked_is_buried_once_though_its_batch_is_cancelled(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the batch goes back, and nothing of it twice."""
    scene.storable.set()
    lists = BatchScene(scene, monkeypatch, 3)
    lists.cancels = True
    kept, revoked = lists.admit("kept"), lists.admit("revoked")
    await until(lambda: hasattr(revoked, "event"))
    state.revoked.add("revoked")
    lists.admit("third")
    await until(lambda: lists.lists)
    lists.admit("fourth")
    await until(lambda: kept.acknowledged and revoked.acknowledged)
    assert lists.lists == [["kept", "third"], ["kept", "third", "fourth"]]
    assert scene.buried == ["revoked"]
