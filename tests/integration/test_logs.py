"""Logs of real worker processes on a real RabbitMQ, for an operator and for a log collector."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import celery
import pytest

from qt_events.events.event import Event
from qt_events.logs.formatters import FIELDS
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker.management import Management
from tests.support.fleet.logged_workers import Line, LoggedWorkers
from tests.support.waiting import until

pytestmark = pytest.mark.serves("retried", "in_thread")

POOLS = ["asyncio", "processes", "threads", "solo"]


@pytest.fixture
def workers(
    request: pytest.FixtureRequest, amqp_url: str, tmp_path: Path
) -> Iterator[LoggedWorkers]:
    """Workers on this test's own vhost, killed at the end; see `fleet` for `serves`."""
    opened = LoggedWorkers(amqp_url, tmp_path)
    opened.serves = request.node.get_closest_marker("serves").args
    yield opened
    opened.close()


PublishRequest = Callable[[str], Any]


@pytest.fixture
def publish(client: CeleryEventBus) -> PublishRequest:
    async def published(event_type: str) -> Event[Any]:
        cause: Event[Any] = Event("cause")
        event: Event[Any] = Event(event_type).caused_by(
            cause
        )  # so that its correlation is not its own id
        await client.publish(event)
        return event

    return published


def pool(name: str) -> list[str]:
    return [] if name == "asyncio" else ["-P", name, "-c", "2"]


def fields(event: Event[Any], subscription: str, attempt: int) -> dict[str, Any]:
    values = (event.id, event.type, subscription, attempt, event.correlation_id)
    return dict(zip(FIELDS, values, strict=True))


def fields_in(line: Line) -> dict[str, Any]:
    return {name: line[name] for name in FIELDS if name in line}


# JSON


@pytest.mark.parametrize("name", POOLS)
async def test_every_line_is_json_and_those_of_handlers_say_whose_they_are(
    workers: LoggedWorkers, publish: PublishRequest, name: str
) -> None:
    """Lines of Celery and of handlers, prints and warnings, with their attempts, on every pool."""
    # One is started by the interpreter itself: its imports may say something, too.
    worker = await workers.start(
        *("-l", "INFO", *pool(name)), forked=name != "asyncio", QT_LOG_FORMAT="json"
    )
    event = await publish("order.placed")
    await workers.until_called("retried", event)
    await workers.until_called("in_thread", event)
    assert await worker.stop() == 0

    for line in worker.lines:
        assert {"timestamp", "level", "logger", "message"} <= line.keys()
        assert datetime.now(UTC) - datetime.fromisoformat(line["timestamp"]) < timedelta(minutes=5)
    told = {line["message"]: fields_in(line) for line in worker.lines if line["logger"] == "my.app"}
    assert told == {
        "retried handles attempt 1": fields(event, "retried", 1),
        "retried handles attempt 2": fields(event, "retried", 2),
        "from a task of the handler": fields(event, "retried", 2),
        "in_thread handles attempt 1": fields(event, "in_thread", 1),
    }
    (retry,) = [
        line
        for line in worker.lines
        if line["level"] == "WARNING" and line["logger"] == "qt_events"
    ]
    assert "attempt 1 failed with OSError: not yet\nsaid the handler" in retry["message"]
    assert fields_in(retry) == fields(event, "retried", 1)
    (printed,) = [line for line in worker.lines if line["logger"] == "celery.redirected"]
    (warned,) = [line for line in worker.lines if "a warning of the handler" in line["message"]]
    assert printed["message"] == "printed by the handler"
    assert fields_in(printed) == fields_in(warned) == fields(event, "in_thread", 1)
    assert any(
        line["message"].endswith(" ready.")
        for line in worker.lines
        if line["logger"].startswith("celery")
    )
    assert worker.lines[-1]["message"].endswith("has stopped")
    assert worker.stdout == ""  # no banner: a container's two streams are read as one


@pytest.mark.serves("killing")
async def test_the_death_of_a_prefork_child_is_told_in_json(
    workers: LoggedWorkers, publish: PublishRequest
) -> None:
    """The pool's own logger has handlers of its own, too. Another child handles the event."""
    worker = await workers.start("-P", "processes", "-c", "1", QT_LOG_FORMAT="json")
    event = await publish("order.killing")
    await workers.until_called("killing", event)
    assert await worker.stop() == 0
    assert any("SIGKILL" in line["message"] for line in worker.lines)


@pytest.mark.serves("quiet")
async def test_a_plain_task_tells_its_id_and_name(workers: LoggedWorkers) -> None:
    """Celery's own format has both, and Celery's tracer still logs plain tasks."""
    worker = await workers.start("-l", "INFO", "-P", "solo", QT_LOG_FORMAT="json")
    with celery.Celery(broker=workers.url, set_as_current=False) as sender:
        sent = await asyncio.to_thread(sender.send_task, "plain", [7], ignore_result=True)
    await until(lambda: "plain task 7" in worker.stderr)
    assert await worker.stop() == 0
    (told,) = [line for line in worker.lines if line["logger"] == "my.task"]
    assert (told["task_name"], told["task_id"], told["message"]) == (
        "plain",
        sent.id,
        "plain task 7",
    )
    assert any(
        "succeeded" in line["message"]
        for line in worker.lines
        if line["logger"] == "celery.app.trace"
    )


async def test_a_log_file_gets_the_json(
    workers: LoggedWorkers, publish: PublishRequest, tmp_path: Path
) -> None:
    """`--logfile` is Celery's as ever."""
    file = tmp_path / "worker.log"
    worker = await workers.start("-l", "INFO", "-f", str(file), QT_LOG_FORMAT="json")
    event = await publish("order.placed")
    await workers.until_called("retried", event)
    assert await worker.stop() == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert fields(event, "retried", 2) in [fields_in(line) for line in lines]
    assert [line["logger"] for line in worker.lines if line["logger"] != "py.warnings"] == []


@pytest.mark.serves("quiet")
async def test_a_program_that_configured_its_logs_has_them_so_in_its_workers(
    workers: LoggedWorkers,
) -> None:
    """configure_logging(format="json") in the app's module: Celery's handler has that form."""
    worker = await workers.start("-l", "INFO", LOGGING_APP="program")
    assert await worker.stop() == 0
    assert any(line["message"].endswith(" ready.") for line in worker.lines)


# Quiet


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.serves("quiet", "hopeless")
async def test_a_handled_event_is_no_line_and_a_dead_letter_is_one(
    workers: LoggedWorkers, publish: PublishRequest, name: str
) -> None:
    """Celery's tracer would log every success at INFO, and a failure once more."""
    worker = await workers.start("-l", "INFO", *pool(name), QT_LOG_FORMAT="json")
    handled, refused = await publish("order.quiet"), await publish("order.refused")
    await workers.until_called("quiet", handled)
    await until(lambda: "dead letter" in worker.stderr)
    assert await worker.stop() == 0
    assert handled.id not in worker.stderr
    line, *more = worker.about(refused)
    assert more == []
    assert (line["level"], line["logger"]) == ("ERROR", "qt_events")
    assert (line["exception"]["type"], line["exception"]["message"]) == (
        "ValueError",
        "it never works",
    )
    assert "in hopeless" in line["exception"]["traceback"]
    assert fields_in(line) == fields(refused, "hopeless", 1)


@pytest.mark.parametrize("name", ["processes", "solo"])
@pytest.mark.serves("quiet")
async def test_while_debugging_celerys_tracer_is_heard_too(
    workers: LoggedWorkers, publish: PublishRequest, name: str
) -> None:
    """Lines about an event have the event's fields."""
    worker = await workers.start("-l", "DEBUG", *pool(name), QT_LOG_FORMAT="json")
    event = await publish("order.quiet")
    await workers.until_called("quiet", event)
    assert await worker.stop() == 0
    traced = [line for line in worker.about(event) if line["logger"] == "celery.app.trace"]
    assert [fields_in(line) for line in traced] == [fields(event, "quiet", 1)]
    assert "quiet: attempt 1 done" in [line["message"] for line in worker.about(event)]


# Levels, formats, and who decides


async def test_without_an_option_celerys_format_stays_and_tells_the_event(
    workers: LoggedWorkers, publish: PublishRequest
) -> None:
    """A delivery's lines end with the five fields. Everything else is as Celery has it."""
    worker = await workers.start("-l", "INFO")
    event = await publish("order.placed")
    await workers.until_called("retried", event)
    assert await worker.stop() == 0
    (line,) = [line for line in worker.stderr.splitlines() if "retried handles attempt 2" in line]
    assert line.startswith("[")
    assert line.endswith(
        f"INFO/MainProcess] retried handles attempt 2 event_id={event.id} event_type=order.placed"
        f" subscription=retried attempt=2 correlation_id={event.correlation_id}"
    )
    assert "[queues]" in worker.stdout
    assert "Warm shutdown" in worker.stdout


@pytest.mark.serves("quiet")
async def test_the_level_comes_from_the_environment_unless_celery_is_told(
    workers: LoggedWorkers,
) -> None:
    """QT_LOG_LEVEL takes the place of Celery's default; `--loglevel` beats it."""
    by_environment = await workers.start(QT_LOG_FORMAT="json", QT_LOG_LEVEL="info")
    assert await by_environment.stop() == 0
    told = await workers.start("-l", "ERROR", QT_LOG_FORMAT="json", QT_LOG_LEVEL="info")
    assert await told.stop() == 0
    assert any(line["message"].endswith(" ready.") for line in by_environment.lines)
    assert [line for line in told.lines if line["level"] == "INFO"] == []


@pytest.mark.parametrize("way", ["own receiver", "own handler"])
async def test_logs_that_a_user_set_up_are_left_alone(
    workers: LoggedWorkers, publish: PublishRequest, way: str
) -> None:
    """A receiver of setup_logging, or a handler without worker_hijack_root_logger: both stay."""
    worker = await workers.start("-l", "INFO", QT_LOG_FORMAT="json", LOGGING_APP=way)
    event = await publish("order.placed")
    await workers.until_called("retried", event)
    assert await worker.stop() == 0
    assert "mine retried handles attempt 2\n" in worker.stderr


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("QT_LOG_FORMAT", "xml", "use text or json"),
        ("QT_LOG_LEVEL", "loud", "use one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ],
)
@pytest.mark.serves("quiet")
async def test_a_wrong_option_in_the_environment_ends_the_worker(
    workers: LoggedWorkers, variable: str, value: str, advice: str
) -> None:
    """The process ends at once, with one line that names the choices."""
    worker = await workers.start(ready=False, forked=True, **{variable: value})
    assert await worker.ended() == 1
    last = worker.stderr.splitlines()[-1]
    assert f"{variable}='{value}'" in last
    assert advice in last


# Secrets


def create_user(management: Management, user: str, password: str, vhost: str) -> None:
    request = management._request  # noqa: SLF001  # nobody else needs one
    request("PUT", f"/users/{user}", {"password": password, "tags": ""})
    request("PUT", f"/permissions/{vhost}/{user}", {"configure": ".*", "write": ".*", "read": ".*"})


@pytest.mark.serves("hopeless")
async def test_a_password_is_in_no_line(
    workers: LoggedWorkers, management: Management, vhost: str, publish: PublishRequest
) -> None:
    """No level, stream or banner shows it, whether or not the login works."""
    secret = "hunter2-planted-7731"
    create_user(management, user := f"planted-{vhost}", secret, vhost)
    address = urlsplit(workers.url)
    url = f"amqp://{user}:{{}}@{address.hostname}:{address.port}{address.path}"
    worker = await workers.start("-l", "DEBUG", url=url.format(secret))
    event = await publish("order.refused")
    await workers.until_called("hopeless", event)
    assert await worker.stop() == 0
    refused = await workers.start("-l", "DEBUG", ready=False, url=url.format(f"not-{secret}"))
    assert await refused.ended() != 0
    assert "refused the login" in refused.stderr
    for each in (worker, refused):
        assert f"{user}:**@" in each.stderr
        assert secret not in each.stderr + each.stdout
