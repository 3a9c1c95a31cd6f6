"""Fields of the event that is being handled, on every line that is logged."""

import asyncio
import io
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import Any

import pytest

from qt_events import EventFieldsFilter, InMemoryEventBus
from qt_events.delivery.deliver import deliver
from qt_events.delivery.outcome import Done
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.stats import SlowHandlerLog, Stats
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.event import Event
from qt_events.logs.configure import bound_fields
from qt_events.logs.formatters import FIELDS, JsonFormatter
from tests.unit.logs.samples import EVENT, Lines, fields, fields_by_message, log


async def test_lines_of_an_async_handler_and_its_tasks_have_the_fields(lines: Lines) -> None:
    """Every logger has them, before and after the handler waits, and in tasks that outlive it."""
    finish = asyncio.Event()
    tasks = []

    async def spawned() -> None:
        await finish.wait()
        log.info("later, in a task")

    async def handler(_: Event[Any]) -> None:
        log.info("first step")
        tasks.append(asyncio.create_task(spawned()))
        await asyncio.sleep(0)
        log.info("second step")
        await asyncio.to_thread(log.info, "in a thread of the handler")

    assert await deliver(EVENT, Subscription("unit", handler)) == Done()
    finish.set()
    await asyncio.gather(*tasks)
    log.info("outside")
    inside = ("first step", "second step", "in a thread of the handler", "later, in a task")
    assert fields_by_message(lines) == {**dict.fromkeys(inside, fields()), "outside": {}}


@pytest.mark.parametrize("in_thread", [True, False])
async def test_lines_of_a_sync_handler_have_the_fields(lines: Lines, in_thread: bool) -> None:
    """Handlers run in a thread, or in the caller as on Celery's own pools."""
    with ThreadPoolExecutor(1) as executor:
        subscription = Subscription(
            "unit", lambda _: log.info("%s", threading.current_thread().name)
        )
        await deliver(EVENT, subscription, 7, executor=executor if in_thread else None)
    ((thread, found),) = fields_by_message(lines).items()
    assert (thread != "MainThread") == in_thread
    assert found == fields(attempt=7)


async def test_lines_of_a_predicate_have_the_fields(lines: Lines) -> None:
    """A predicate belongs to the delivery that it decides about."""
    subscription = Subscription("unit", print, when=lambda _: log.info("asked"))
    assert await deliver(EVENT, subscription) == Done(handled=False)
    assert fields_by_message(lines) == {"asked": fields()}


async def test_handlers_at_the_same_time_have_their_own_fields(lines: Lines) -> None:
    """Lines of one never carry the event of another."""
    met = asyncio.Barrier(3)

    async def handler(event: Event[Any]) -> None:
        await met.wait()
        log.info("%s", event.id)

    events: list[Event[Any]] = [Event("unit.logged") for _ in range(3)]
    deliveries = (
        deliver(event, Subscription(f"s{n}", handler), n + 1) for n, event in enumerate(events)
    )
    await asyncio.gather(*deliveries)
    assert fields_by_message(lines) == {
        event.id: fields(f"s{n}", n + 1, event) for n, event in enumerate(events)
    }


async def test_lines_of_the_library_about_an_attempt_have_the_fields(lines: Lines) -> None:
    """The number of the attempt counts up, also on the library's own warnings and errors."""

    def handler(_: Event[Any]) -> None:
        log.info("attempt %d", len(fields_by_message(lines)) + 1)
        message = "never"
        raise OSError(message)

    bus = InMemoryEventBus()
    bus.subscribe(
        "unit.logged",
        handler,
        name="unit",
        retry=RetryPolicy(max_attempts=2, initial=0.001, jitter=0),
    )
    async with bus:
        await bus.publish(EVENT)
        await bus.join()
    assert fields_by_message(lines) == {f"attempt {n}": fields(attempt=n) for n in (1, 2)}
    assert list(fields_by_message(lines, "qt_events").values()) == [
        fields(attempt=1),
        fields(attempt=2),
    ]
    assert [line["level"] for line in lines() if line["logger"] == "qt_events"] == [
        "WARNING",
        "ERROR",
    ]


async def test_slow_handlers_are_reported_with_the_fields(lines: Lines) -> None:
    """Both reports have them: slow, and blocked the loop."""

    async def handler(_: Event[Any]) -> None:
        await asyncio.sleep(0)

    await deliver(EVENT, Subscription("unit", handler), watch=SlowHandlerLog(Stats()), slow_after=0)
    slow, blocked = (
        message for message in fields_by_message(lines, "qt_events") if "handler unit" in message
    )
    assert (
        fields_by_message(lines, "qt_events")[slow]
        == fields_by_message(lines, "qt_events")[blocked]
        == fields()
    )


async def test_a_delivery_inside_a_delivery_has_its_own_fields(lines: Lines) -> None:
    """Eager mode runs handlers while publishing; afterwards the outer fields are back."""
    other: Event[Any] = Event("unit.inner")

    async def outer(_: Event[Any]) -> None:
        await deliver(other, Subscription("inner", lambda _: log.info("inner")), 2)
        log.info("outer")

    await deliver(EVENT, Subscription("outer", outer))
    assert fields_by_message(lines) == {
        "inner": fields("inner", 2, other),
        "outer": fields("outer"),
    }


async def test_a_cancelled_delivery_is_reported_while_its_thread_runs(lines: Lines) -> None:
    """The thread still uses the context, and the report that it was slow does not fail."""
    begun, go = threading.Event(), threading.Event()

    def handler(_: Event[Any]) -> None:
        begun.set()
        go.wait(30)

    with ThreadPoolExecutor(1) as executor:
        subscription, watch = Subscription("unit", handler), SlowHandlerLog(Stats())
        delivery = asyncio.create_task(
            deliver(EVENT, subscription, executor=executor, watch=watch, slow_after=0)
        )
        await asyncio.to_thread(begun.wait, 30)
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery
        go.set()
    assert list(fields_by_message(lines, "qt_events").values()) == [fields()]


async def test_an_attempt_is_one_line_at_debug_and_none_at_info(
    root: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """Handled events do not fill a log."""
    quiet = Subscription("unit", lambda _: None)
    with caplog.at_level(logging.INFO):
        await deliver(EVENT, quiet)
        assert caplog.messages == []
    with caplog.at_level(logging.DEBUG, "qt_events"):
        await deliver(EVENT, quiet, 3)
        assert caplog.messages == ["unit: attempt 3 done"]


async def test_the_fields_end_with_the_delivery() -> None:
    """The caller's own context stays as it was."""
    found: list[dict[str, Any]] = []
    await deliver(EVENT, Subscription("unit", lambda _: found.append(bound_fields())))
    assert (found, bound_fields()) == ([fields()], {})


# The filter


async def test_a_format_of_the_application_may_name_the_fields(root: logging.Logger) -> None:
    """A %-format with defaults works outside of deliveries too."""
    handler = logging.StreamHandler(stream := io.StringIO())
    handler.setFormatter(
        logging.Formatter(
            "%(event_id)s %(attempt)s %(message)s", defaults=dict.fromkeys(FIELDS, "-")
        )
    )
    handler.addFilter(EventFieldsFilter())
    root.addHandler(handler)
    await deliver(EVENT, Subscription("unit", lambda _: log.warning("inside")), 2)
    log.warning("outside")
    assert stream.getvalue() == f"{EVENT.id} 2 inside\n- - outside\n"


async def test_a_queue_handler_carries_the_fields_to_another_thread(root: logging.Logger) -> None:
    """The filter fills a record in the thread that logs it."""
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = QueueHandler(queue)
    handler.addFilter(EventFieldsFilter())
    root.addHandler(handler)
    await deliver(EVENT, Subscription("unit", lambda _: log.warning("inside")))
    line = json.loads(await asyncio.to_thread(lambda: JsonFormatter().format(queue.get())))
    assert {name: line[name] for name in FIELDS} == fields()


async def test_fields_by_extra_stay(lines: Lines) -> None:
    """A record may be about another event than the one being handled."""
    handler = lambda _: log.info("about another", extra={"event_id": "other"})  # noqa: E731
    await deliver(EVENT, Subscription("unit", handler))
    assert fields_by_message(lines) == {"about another": {**fields(), "event_id": "other"}}
