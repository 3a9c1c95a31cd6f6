"""ObservedEventBus: questions, claims and waiting, in memory with a clock that jumps."""

import asyncio
import threading
from collections.abc import AsyncIterator
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import pytest

from qt_events import BusStateError, Event, EventBus, InMemoryEventBus, Payload, Reject, RetryPolicy
from qt_events.dead_letters.operations import DeadLetters
from qt_events.errors import NotSupportedError, UnknownSubscriptionError
from qt_events.testing.clock import ManualClock
from qt_events.testing.observed import ObservedEventBus

HOURLY = RetryPolicy(max_attempts=3, initial=3600, max_delay=7200, jitter=0)


class Price(Payload):
    price: float


class PriceEvent(Event[Price], type="observed.price"): ...


class Side(StrEnum):
    BUY = "BUY"


class Order(Payload):
    side: Side


class OrderEvent(Event[Order], type="observed.order"): ...


FLAKY = f"{__name__}.flaky.on_event"


class Flaky:
    """Handler that fails as often as told."""

    def __init__(self, failures: int, error: type[BaseException] = ConnectionError) -> None:
        self.failures, self.error = failures, error

    async def on_event(self, event: Event[Any]) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error("not yet")


@pytest.fixture
async def bus() -> AsyncIterator[ObservedEventBus]:
    clock = ManualClock()
    async with ObservedEventBus(InMemoryEventBus(clock=clock, grace=1), clock) as bus:
        yield bus


def test_it_is_an_event_bus() -> None:
    """Code under test takes it for one."""
    assert isinstance(ObservedEventBus(InMemoryEventBus()), EventBus)


# join


async def test_join_lets_hours_of_retries_pass_at_once(bus: ObservedEventBus) -> None:
    """The attempts are those of the policy, each at its time."""
    bus.subscribe("a", Flaky(2).on_event, retry=HOURLY)
    await bus.publish(Event("a"))
    await bus.join()
    bus.assert_delivered(FLAKY, attempts=3)
    assert bus.clock.time() == 3600 + 7200


async def test_no_time_passes_while_somebody_still_works(bus: ObservedEventBus) -> None:
    """A retry waits until another subscription's handler, in a thread, has ended."""
    go, seen = threading.Event(), []

    def works(event: Event[Any]) -> None:
        go.wait(30)
        seen.append(bus.clock.time())

    bus.subscribe("a", Flaky(1).on_event, retry=HOURLY)
    bus.subscribe("a", works, name="works")
    await bus.publish(Event("a"))
    joining = asyncio.create_task(bus.join())
    # Turns of the loop: far more than a jump would take
    for _ in range(200):
        await asyncio.sleep(0)
    bus.assert_retried(FLAKY)
    assert bus.clock.time() == 0.0
    go.set()
    await joining
    assert seen == [0.0]
    assert bus.clock.time() == 3600.0


async def test_join_that_ends_in_vain_tells_what_happened(bus: ObservedEventBus) -> None:
    """The error names the delivery without an outcome."""
    forever = asyncio.Event()

    async def hangs(event: Event[Any]) -> None:
        await forever.wait()

    bus.subscribe("a", hangs, name="hangs")
    await bus.publish(Event("a"))
    with pytest.raises(TimeoutError, match=r"(?s)1 events have no outcome.*hangs: no outcome yet"):
        await bus.join(0.05)
    forever.set()
    await bus.join()


def test_join_on_another_loop_says_so() -> None:
    """A join on another loop would wait for ever."""
    bus = ObservedEventBus(InMemoryEventBus())

    async def run() -> None:
        async with bus:
            pass

    asyncio.run(run())
    with pytest.raises(BusStateError, match="asyncio_default_fixture_loop_scope"):
        asyncio.run(bus.join())


def test_a_bus_in_real_time_has_no_clock_to_move() -> None:
    """The error names the marker."""
    with pytest.raises(NotSupportedError, match='backend="memory"'):
        _ = ObservedEventBus(InMemoryEventBus()).clock


# Published


async def test_published_events_are_found_by_class_by_pattern_and_by_what_they_say(
    bus: ObservedEventBus,
) -> None:
    """Events come oldest first; nobody need be subscribed."""
    cheap, dear, other = (
        PriceEvent.create(price=1),
        PriceEvent.create(price=9),
        Event("observed.other"),
    )
    for event in (cheap, dear, other):
        await bus.publish(event)
    assert bus.published() == [cheap, dear, other]
    assert bus.published("*.other") == [other]
    assert bus.published(PriceEvent, where=lambda event: event.payload.price > 5) == [dear]
    assert bus.assert_published(PriceEvent, times=2) == [cheap, dear]
    bus.assert_not_published(PriceEvent, where=lambda event: event.payload.price > 10)


async def test_a_claim_about_what_was_published_fails_with_what_was(bus: ObservedEventBus) -> None:
    """The error has type, class, payload, and says that nobody heard it."""
    await bus.publish(PriceEvent.create(price=1))
    with pytest.raises(AssertionError) as failed:
        bus.assert_published("trade.#")
    lines = str(failed.value).splitlines()
    assert lines[0] == "'trade.#' published: 0 times, expected at least once"
    assert lines[1] == "what happened:"
    assert lines[2].startswith("  observed.price (PriceEvent, id ...")
    assert lines[2].endswith("{'price': 1.0}")
    assert lines[3] == "    nobody is subscribed to observed.price"
    with pytest.raises(
        AssertionError, match="PriceEvent with where= published: 1 time, expected 2 times"
    ):
        bus.assert_published(PriceEvent, times=2, where=lambda _: True)


async def test_a_payload_is_told_as_it_goes_over_the_wire(bus: ObservedEventBus) -> None:
    """Enums are shown by their values, on one line, cut where it gets long."""
    await bus.publish(OrderEvent.create(side="BUY"))
    await bus.publish(Event("long", payload={"words": "word " * 100}))
    order, _, long, _ = bus.story().splitlines()[1:]
    assert order.endswith("{'side': 'BUY'}")
    assert long.endswith(" ...")
    assert len(long) < 160


# Delivered, retried, dead


async def test_a_claim_before_join_says_that_join_is_missing(bus: ObservedEventBus) -> None:
    """A forgotten join is the most frequent mistake."""
    bus.subscribe("a", Flaky(0).on_event)
    await bus.publish(Event("a"))
    with pytest.raises(
        AssertionError, match=r"1 delivery without an outcome yet: `await bus.join\(\)` first"
    ):
        bus.assert_delivered(FLAKY)
    await bus.join()
    bus.assert_delivered(FLAKY, times=1)


async def test_a_subscription_is_named_by_its_handler_too(bus: ObservedEventBus) -> None:
    """A lambda has no name that one could guess."""
    handler = lambda _: None  # noqa: E731
    bus.subscribe("a", handler, when=lambda event: bool(event.payload))
    event, filtered = Event("a", payload={"x": 1}), Event("a")
    await bus.publish(event)
    await bus.publish(filtered)
    await bus.join()
    bus.assert_delivered(handler, event)
    bus.assert_not_delivered(handler, filtered)


async def test_an_unknown_subscription_is_an_error_that_lists_those_there_are(
    bus: ObservedEventBus,
) -> None:
    """A misspelt name must not pass for 'never delivered'."""
    bus.subscribe("a", Flaky(0).on_event)
    with pytest.raises(UnknownSubscriptionError, match=rf"there are: {FLAKY}"):
        bus.assert_not_delivered("flaky.on_evnt")


async def test_retries_and_dead_letters_are_claimed_by_exception_reason_and_attempts(
    bus: ObservedEventBus,
) -> None:
    """A base class of the exception counts, as in `except`."""
    bus.subscribe("a", Flaky(9).on_event, retry=HOURLY)
    event = Event("a")
    await bus.publish(event)
    await bus.join()
    bus.assert_retried(FLAKY, event, times=2, exception=OSError)
    bus.assert_dead_lettered(
        FLAKY, event, reason="exhausted", exception=ConnectionError, attempts=3
    )
    wrongs: list[dict[str, Any]] = [
        {"exception": KeyError},
        {"reason": "rejected"},
        {"attempts": 1},
        {"times": 2},
    ]
    for wrong in wrongs:
        with pytest.raises(AssertionError, match=rf"dead-lettered by {FLAKY}"):
            bus.assert_dead_lettered(FLAKY, event, **wrong)
    with pytest.raises(AssertionError, match="after KeyError: 0 times"):
        bus.assert_retried(FLAKY, exception=KeyError)


async def test_no_dead_letters_is_a_claim_that_fails_with_the_traceback(
    bus: ObservedEventBus,
) -> None:
    """The traceback is the handler's."""
    bus.assert_no_dead_letters()
    bus.subscribe("a", Flaky(1, Reject).on_event)
    await bus.publish(Event("a"))
    await bus.join()
    with pytest.raises(
        AssertionError, match=r"(?s)1 dead letter where none was expected.*in on_event.*not yet"
    ):
        bus.assert_no_dead_letters()


# What a test leaves behind


async def test_nothing_is_left_after_what_was_claimed_or_looked_at(bus: ObservedEventBus) -> None:
    """A claim or a look says that the test knows."""
    bus.subscribe("a", Flaky(1, Reject).on_event, name="claimed")
    bus.subscribe("a", Flaky(1, Reject).on_event, name="looked_at")
    bus.subscribe("a", Flaky(1).on_event, name="retried", retry=HOURLY)
    await bus.publish(Event("a"))
    await bus.clock.advance(0)
    assert all(name in bus.leftovers() for name in ("claimed", "looked_at", "retried"))
    bus.assert_dead_lettered("claimed")
    assert len([*await bus.dead_letters.list("looked_at")]) == 1
    bus.assert_retried("retried")
    assert bus.leftovers() == ""


async def test_what_becomes_of_an_expected_retry_is_not_expected_with_it(
    bus: ObservedEventBus,
) -> None:
    """A dead letter after an expected retry is a leftover."""
    bus.subscribe("a", Flaky(9).on_event, retry=HOURLY)
    await bus.publish(Event("a"))
    await bus.join()
    bus.assert_retried(FLAKY)
    assert "1 dead letter that the test does not expect" in bus.leftovers()


async def test_dead_letters_are_sent_back_and_discarded_through_it(bus: ObservedEventBus) -> None:
    """The calls work as on any bus; join waits for what was sent back."""
    bus.subscribe("a", Flaky(2, Reject).on_event)
    for _ in range(2):
        await bus.publish(Event("a"))
    await bus.join()
    first, second = await bus.dead_letters.list()
    assert (await bus.dead_letters.show(first.id)).reason == "rejected"
    await bus.dead_letters.discard(second.id)
    await bus.dead_letters.retry(first.id)
    await bus.join()
    bus.assert_delivered(FLAKY, times=1)
    assert await bus.dead_letters.retry_all(FLAKY) == 0
    assert bus.leftovers() == ""


async def test_on_look_warns_of_the_line_in_the_test(bus: ObservedEventBus) -> None:
    """A user looks for the old name of `on_scan=` where the warning points."""
    bus.subscribe("a", Flaky(3, Reject).on_event)
    for _ in range(3):
        await bus.publish(Event("a"))
    await bus.join()
    letters: Any = bus.dead_letters
    looks: list[int] = []
    old = {"on_look": lambda seen, _: looks.append(seen)}

    async def look() -> None:
        first, second, third = [record.id async for record in letters.stream(**old)]
        await letters.show(first, **old)
        assert await letters.retry_many([second], **old) == 1
        assert await letters.discard_many([third], **old) == 1

    with pytest.warns(DeprecationWarning, match="write on_scan=") as caught:
        await look()
    assert [each.filename for each in caught] == 4 * [__file__]
    assert looks == [3, 3, 3, 2]


async def test_dead_letters_need_no_scan(bus: ObservedEventBus) -> None:
    """A bus of another package may have dead letters that are not DeadLetterOperations."""
    bus.subscribe("a", Flaky(2, Reject).on_event)
    for _ in range(2):
        await bus.publish(Event("a"))
    await bus.join()
    calls = [name for name in vars(DeadLetters) if not name.startswith("_")]
    theirs: Any = bus.bus
    theirs.dead_letters = SimpleNamespace(
        **{name: getattr(theirs.dead_letters, name) for name in calls}
    )
    assert [group.count for group in await bus.dead_letters.groups()] == [2]
    ids = [record.id async for record in bus.dead_letters.stream()]
    assert await bus.dead_letters.discard_many(ids) == 2
    assert await bus.dead_letters.retry_all(FLAKY) == 0
