"""Fields of a delivery on log lines, and configure_logging()."""

import asyncio
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from qt_events import EventFieldsFilter, InMemoryEventBus, InvalidOptionError, configure_logging
from qt_events.delivery.deliver import deliver
from qt_events.delivery.outcome import Done
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.stats import SlowHandlerLog, Stats
from qt_events.delivery.subscription import Subscription
from qt_events.events.event import Event
from qt_events.logs.configure import bound_fields
from qt_events.logs.formatters import FIELDS, JsonFormatter, TextFormatter

EVENT: Event[Any] = Event("unit.logged").caused_by(Event("unit.cause"))
log = logging.getLogger("my.app")


def fields(
    subscription: str = "unit", attempt: int = 1, event: Event[Any] = EVENT
) -> dict[str, Any]:
    values = (event.id, event.type, subscription, attempt, event.correlation_id)
    return dict(zip(FIELDS, values, strict=True))


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Yield the root logger without QT_LOG_ variables; undo configure_logging() afterwards."""
    monkeypatch.delenv("QT_LOG_FORMAT", raising=False)
    monkeypatch.delenv("QT_LOG_LEVEL", raising=False)
    monkeypatch.setattr("qt_events.logs.configure._by_program", {})
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logging.captureWarnings(False)
    logger.handlers[:] = handlers
    logger.setLevel(level)


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(root: logging.Logger) -> Lines:
    """Return a function that reads the lines logged so far, as JSON."""
    stream = io.StringIO()
    configure_logging("DEBUG", "json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def fields_by_message(lines: Lines, logger: str = "my.app") -> dict[str, dict[str, Any]]:
    """Map message to the five fields, for the lines of one logger."""
    return {
        line["message"]: {name: line[name] for name in FIELDS if name in line}
        for line in lines()
        if line["logger"] == logger
    }


# Fields


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


# configure_logging


def test_importing_configures_nothing() -> None:
    """Importing the library leaves logging alone; Python itself writes errors to stderr."""
    code = (
        "import logging, qt_events, qt_events.rabbitmq.bus as bus\n"
        "bus.CeleryEventBus('amqp://localhost')\n"
        "assert logging.getLogger().handlers == []\n"
        "assert logging.getLogRecordFactory() is logging.LogRecord\n"
        "log = logging.getLogger('qt_events')\n"
        "assert log.handlers == []\n"
        "log.error('heard'); log.info('too quiet')"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert finished.stderr == "heard\n"


def test_the_last_call_of_configure_logging_counts(root: logging.Logger) -> None:
    """There is one handler, with the level, format and stream of the last call."""
    before = len(root.handlers)
    first, second = io.StringIO(), io.StringIO()
    configure_logging("DEBUG", "json", first)
    configure_logging("WARNING", "text", second)
    configure_logging("WARNING", "text", second)
    log.info("too quiet")
    log.warning("heard")
    assert len(root.handlers) == before + 1
    assert first.getvalue() == ""
    assert second.getvalue().endswith("WARNING  my.app: heard\n")
    assert second.getvalue().count("\n") == 1


def test_no_line_appears_twice(root: logging.Logger) -> None:
    """A plain handler on the same stream is removed; one that writes elsewhere stays."""
    stream, elsewhere = io.StringIO(), io.StringIO()
    root.addHandler(logging.StreamHandler(stream))
    root.addHandler(logging.StreamHandler(elsewhere))
    configure_logging(stream=stream)
    log.info("once")
    assert stream.getvalue().count("once") == 1
    assert elsewhere.getvalue() == "once\n"


def test_variables_are_the_defaults(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments override QT_LOG_FORMAT and QT_LOG_LEVEL; an empty variable is none."""
    monkeypatch.setenv("QT_LOG_FORMAT", "json")
    monkeypatch.setenv("QT_LOG_LEVEL", "error")
    configure_logging(stream=(stream := io.StringIO()))
    log.warning("too quiet")
    log.error("heard")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["heard"]
    configure_logging(logging.INFO, "text", stream := io.StringIO())
    log.info("text")
    assert stream.getvalue().endswith("INFO     my.app: text\n")
    monkeypatch.setenv("QT_LOG_FORMAT", "")
    monkeypatch.setenv("QT_LOG_LEVEL", "")
    configure_logging()
    assert root.level == logging.INFO


@pytest.mark.parametrize(
    ("options", "environment", "text"),
    [
        ({"format": "xml"}, {}, "format='xml' is no log format: use text or json"),
        (
            {"level": "LOUD"},
            {},
            "level='LOUD' is no log level: use one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        ),
        ({"level": 0}, {}, "level=0 is no log level"),
        ({"level": True}, {}, "level=True is no log level"),
        ({"level": 51}, {}, "level=51 is no log level"),
        ({"format": []}, {}, r"format=\[\] is no log format"),
        ({}, {"QT_LOG_FORMAT": "yaml"}, "QT_LOG_FORMAT='yaml' is no log format: use text or json"),
        ({}, {"QT_LOG_LEVEL": "10"}, "QT_LOG_LEVEL='10' is no log level"),
    ],
)
def test_a_wrong_option_is_a_named_error(
    root: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    options: Any,
    environment: dict[str, str],
    text: str,
) -> None:
    """The error names the choices, and nothing has changed."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = list(root.handlers)
    with pytest.raises(InvalidOptionError, match=text):
        configure_logging(**options)
    assert root.handlers == before


def test_pythons_warnings_are_logged(lines: Lines) -> None:
    """Warnings have the same format as all other lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)  # catch_warnings() has put Python's own way back
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = lines()
    assert (line["logger"], line["level"]) == ("py.warnings", "WARNING")
    assert "DeprecationWarning: old" in line["message"]


def test_text_is_the_default(root: logging.Logger) -> None:
    """JSON is for machines, and asked for."""
    configure_logging()
    (ours,) = [handler for handler in root.handlers if isinstance(handler.formatter, TextFormatter)]
    assert isinstance(ours, logging.StreamHandler)
    assert ours.stream is sys.stderr
    assert "QT_LOG_FORMAT" not in os.environ


# Documentation


def test_the_examples_of_the_page_about_logs_run() -> None:
    """Each Python block of docs/logging.md sets up logging in its own process."""
    page = (Path(__file__).parents[3] / "docs" / "logging.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for code, expected in ((first, '"message": "hello"'), (second, " - - hello")):
        program = f"{code}\nimport logging; logging.getLogger('my.app').warning('hello')"
        finished = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert expected in finished.stderr
