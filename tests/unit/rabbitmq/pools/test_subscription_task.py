"""A subscription as Celery's own pools run it."""

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from celery.exceptions import Reject, Retry
from celery.utils.threads import LocalStack

from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.outcome import (
    Consequences,
    DeadLetter,
    DeadLetterReason,
    Done,
    Failure,
    Outcome,
    consequences,
)
from qt_events.delivery.outcome import Retry as Again
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import BrokerError, BusStateError
from qt_events.events.event import Event
from qt_events.rabbitmq.handling import attempt
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools import handler_thread
from qt_events.rabbitmq.pools import subscription_task as tasks
from qt_events.shutdown import Shutdown, Trigger

ENVELOPE = Envelope("guard", "guard", b'{"n": 1}', {"message_id": "1"}, {}, "it.happened")
FAILURE = Failure("OSError", "no", "Traceback")


@pytest.fixture
def task() -> tasks.SubscriptionTask:
    runtime: Any = SimpleNamespace(app=None)
    return tasks.task_for(Subscription("guard", print), runtime)


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), MemoryError(), BrokerError(), BusStateError()]
)
def test_whatever_goes_wrong_around_an_attempt_the_event_goes_back(
    task: tasks.SubscriptionTask, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Celery acknowledges what raises anything but a Reject."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(type(task), "_outcome", fail)
    monkeypatch.setattr(tasks, "sleep", lambda _: None)
    with pytest.raises(Reject) as raised:
        task.run(Envelope("guard", "guard", b"{}", {"message_id": "1"}, {}, "e"))
    assert raised.value.requeue


class OneSubscription:
    """Runtime, as far as an attempt needs it, and its one subscription on a pool of Celery's."""

    def __init__(self, handler: Callable[[Event[Any]], object], **options: Any) -> None:
        self.subscription = Subscription("guard", handler, **options)
        found = {"guard": self.subscription}
        self.subscriptions = SimpleNamespace(get=found.get, is_unheard=lambda *_: False)
        self.shutdown = Shutdown()
        serving = SimpleNamespace(shutdown=self.shutdown)
        self.app, self.watch = SimpleNamespace(qt_events_serving=serving), None
        self.settings = SimpleNamespace(slow_after=1.0)
        self.fates = SimpleNamespace(follow=lambda: None)
        self.middleware = MiddlewareStack()
        self.outcomes: list[Outcome] = []
        self.made_safe: list[Consequences] = []
        self.task = tasks.task_for(self.subscription, self)  # type: ignore[arg-type]
        self.task.request_stack = LocalStack()

    def concluded(self, _envelope: Envelope, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def run(self) -> None:
        self.task.run(ENVELOPE)


@pytest.fixture(autouse=True)
def made_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    async def make_safe(_envelope: Envelope, follows: Consequences, runtime: Any, _: Any) -> None:
        runtime.made_safe.append(follows)

    monkeypatch.setattr(attempt, "_make_safe", make_safe)


def test_a_sync_handler_is_called_by_the_thread_that_waits_for_it() -> None:
    seen: list[int] = []
    one = OneSubscription(lambda _: seen.append(threading.get_ident()))
    one.run()
    assert (seen, one.outcomes) == ([threading.get_ident()], [Done()])


def test_what_a_sync_handler_returns_to_be_awaited_is_awaited_on_the_loop() -> None:
    """A decorated handler, for example."""
    seen: list[int] = []

    async def later(_: Event[Any]) -> None:
        await asyncio.sleep(0)
        seen.append(threading.get_ident())

    def decorated(event: Event[Any]) -> object:
        return later(event)

    one = OneSubscription(decorated)
    one.run()
    assert seen != [threading.get_ident()]
    assert one.outcomes == [Done()]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (OSError("no"), "Retry"),
        (StopIteration(), "Retry"),
        (asyncio.CancelledError(), "DeadLetter"),
        (SystemExit(3), "DeadLetter"),
    ],
)
def test_whatever_a_sync_handler_raises_is_an_outcome(error: BaseException, outcome: str) -> None:
    """A CancelledError too: nobody cancelled the task, so it came from within the handler."""

    def fail(_: Event[Any]) -> None:
        raise error

    one = OneSubscription(fail)
    with pytest.raises((Retry, tasks.DeliveryFailed)):
        one.run()
    assert one.made_safe == [consequences(each) for each in one.outcomes]
    assert [type(each).__name__ for each in one.outcomes] == [outcome]


def test_a_predicate_that_raises_is_an_outcome() -> None:
    one = OneSubscription(print, when=lambda event: event.payload["missing"] > 1)
    with pytest.raises(Retry):
        one.run()
    assert [each.told for each in one.made_safe] == ["retried"]


def test_monitors_know_of_a_retry_before_it_is_on_its_way() -> None:
    """Another process may be done with the next attempt in no time; a dead letter has none."""
    one: Any = OneSubscription(print)
    told: list[tuple[Consequences, int]] = []

    def tell(follows: Consequences) -> None:
        told.append((follows, len(one.made_safe)))

    outcomes: list[Outcome] = [Again(1.0, FAILURE), DeadLetter(DeadLetterReason.EXHAUSTED, FAILURE)]
    for outcome in outcomes:
        asyncio.run(attempt.finish_attempt(ENVELOPE, one, outcome, on_retry=tell))
    assert told == [(consequences(outcomes[0]), 0)]
    assert one.made_safe == [consequences(each) for each in outcomes]


def test_monitors_hear_of_no_retry_that_there_will_not_be() -> None:
    """The channel is gone: the broker delivers the event again."""
    one: Any = OneSubscription(print)
    told: list[Consequences] = []
    asyncio.run(
        attempt.finish_attempt(
            ENVELOPE, one, Again(1.0, FAILURE), is_void=lambda: True, on_retry=told.append
        )
    )
    assert (told, one.made_safe, one.outcomes) == ([], [], [])


def test_what_is_told_to_end_has_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """Billiard ends a child by SystemExit wherever it is, and the event is delivered again."""
    one = OneSubscription(print)
    monkeypatch.setattr(handler_thread, "terminate_handler_fired", lambda: True)
    with pytest.raises(SystemExit):
        one.run()
    assert one.outcomes == []


def test_the_soft_time_limit_never_strikes_between_a_handler_and_its_outcome() -> None:
    """A limit that comes late is ignored until the outcome is counted and safe."""
    struck: list[bool] = []
    one = OneSubscription(lambda _: None)

    def conclude(*_: object) -> None:
        thread = tasks._handler_thread()  # noqa: SLF001
        thread._on_soft_limit()  # noqa: SLF001
        struck.append(True)

    one.concluded = conclude  # type: ignore[assignment,method-assign]
    one.run()
    assert struck == [True]


def test_what_fails_once_the_worker_gives_back_is_not_judged() -> None:
    """Its threads may be shut down by then, and the connection closed: the event comes again."""
    one = OneSubscription(MagicMock(side_effect=RuntimeError("cannot schedule new futures")))
    one.shutdown.tell(Trigger.HURRY)
    with pytest.raises(Reject) as raised:
        one.run()
    assert raised.value.requeue
    assert one.outcomes == []
    assert one.made_safe == []


class Around:
    """Handler middleware that records its threads."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    async def around_handle(self, *about: Any) -> None:
        self.threads.append(threading.get_ident())
        await about[-1]()


def test_middleware_runs_beside_the_thread_that_calls_a_sync_handler() -> None:
    """Middleware runs on the loop, and the handler where it would be called without."""
    seen: list[int] = []
    one, around = OneSubscription(lambda _: seen.append(threading.get_ident())), Around()
    one.middleware.add(around)
    one.run()
    assert (seen, one.outcomes) == ([threading.get_ident()], [Done()])
    assert around.threads != seen


@pytest.mark.parametrize("waits", [False, True])
def test_the_soft_time_limit_strikes_a_handler_within_middleware(waits: bool) -> None:
    """A sync one wherever it is, an async one where it awaits."""
    thread = tasks._handler_thread()  # noqa: SLF001

    def overdue(_: Event[Any]) -> None:
        thread._on_soft_limit()  # noqa: SLF001

    async def overdue_waiting(_: Event[Any]) -> None:
        thread._on_soft_limit()  # noqa: SLF001
        await asyncio.Event().wait()

    one = OneSubscription(overdue_waiting if waits else overdue)
    one.middleware.add(Around())
    with pytest.raises(Retry):
        one.run()
    [follows] = one.made_safe
    assert follows.failure is not None
    assert follows.failure.exception_type.endswith("SoftTimeLimitExceeded")


def test_an_outcome_is_tried_to_be_stored_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the event goes back, for a worker that is told to stop waits for it."""

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(attempt, "_make_safe", hang)
    monkeypatch.setattr(tasks, "STORED_WITHIN", 0.05)
    monkeypatch.setattr(tasks, "PAUSE", 0)

    def fail(_: Event[Any]) -> None:
        raise OSError("no")

    one = OneSubscription(fail)
    with pytest.raises(Reject, match=r"could not be stored within 0\.05 s"):
        one.run()
    assert one.outcomes == []


@pytest.mark.parametrize(
    ("limit", "seconds"), [(None, 300), (0, 300), (1000, 300), (60, 55), (4, 2), (-1, 0)]
)
def test_a_hard_time_limit_does_not_strike_while_it_is_stored(
    monkeypatch: pytest.MonkeyPatch, limit: float | None, seconds: float
) -> None:
    """Its process would die, and after three of these the event would be in quarantine."""
    monkeypatch.setattr(tasks, "monotonic", lambda: 100.0)
    assert tasks._patience(100.0, limit) == seconds  # noqa: SLF001
