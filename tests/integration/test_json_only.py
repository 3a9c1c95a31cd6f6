"""Messages from the wire are never unpickled: events, plain tasks, orders to a worker, answers."""

import asyncio
import json
import pickle
import uuid
from pathlib import Path
from typing import Any

import amqp
import celery
import pytest

from qt_events.errors import InvalidOptionError
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.channels import channel_to
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import one_dead_letter
from tests.support.waiting import until


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


def trapped(path: Path) -> list[tuple[bytes, str]]:
    """Bodies, with their content types, that write the file if their reader lets them run code."""
    pickled = [
        pickle.dumps([[Trap(path)], {}, {}]),
        pickle.dumps({"method": "ping", "arguments": {"x": Trap(path)}}),
    ]
    apply = "!!python/object/apply:pathlib.Path"
    yaml = f"{apply}.touch [{apply} [{path}]]".encode()
    return [
        *((body, "application/x-python-serialize") for body in pickled),
        (yaml, "application/x-yaml"),
        (pickled[0], "application/json"),
    ]


def message(body: bytes, content_type: str, task: str) -> amqp.Message:
    headers = {
        "lang": "py",
        "task": task,
        "id": str(uuid.uuid4()),
        "root_id": None,
        "parent_id": None,
        "group": None,
    }
    return amqp.Message(
        body, content_type=content_type, content_encoding="binary", application_headers=headers
    )


def test_the_trap_works(tmp_path: Path) -> None:
    """The tests below could not fail otherwise."""
    body, _ = trapped(tmp_path / "trap")[0]
    pickle.loads(body)  # noqa: S301  # to show what would happen
    assert (tmp_path / "trap").exists()


async def test_a_worker_with_plain_tasks_unpickles_nothing(
    fleet: Fleet, client: CeleryEventBus, amqp_url: str, tmp_path: Path
) -> None:
    """Worker and children unpickle nothing. Events, tasks and orders go on."""
    path = tmp_path / "trap"
    program = ("-m", "celery", "-A", "logging_app", "worker")
    worker = await fleet.start("-P", "processes", "-E", program=program)
    ways = [
        ("", "celery"),
        ("", "qt.sub.quiet"),
        ("qt.events", "order.quiet"),
        ("celery.pidbox", ""),
        ("celeryev", "x.y"),
    ]
    with channel_to(amqp_url) as channel:
        for body, content_type in trapped(path):
            for exchange, key in ways:
                channel.basic_publish(message(body, content_type, "plain"), exchange, key)
        good = json.dumps(
            [[7], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
        ).encode()
        channel.basic_publish(message(good, "application/json", "plain"), "", "celery")
    await until(lambda: "plain task 7" in worker.output, what=worker.output)
    answers = await asyncio.to_thread(client.app.control.ping, timeout=10, limit=1)
    assert [list(each.values()) for each in answers] == [[{"ok": "pong"}]]
    await client.publish(event := Event("order.quiet"))
    await fleet.until_called("quiet", event=event)
    assert worker.process.poll() is None
    assert not path.exists()


async def test_a_monitor_unpickles_no_workers_event(
    client: CeleryEventBus, amqp_url: str, tmp_path: Path
) -> None:
    """Flower and `qt-events fleet` listen with Celery's receiver."""
    path = tmp_path / "trap"
    heard: list[dict[str, Any]] = []

    def listen() -> None:
        with client.app.connection_for_read() as connection:
            receiver = client.app.events.Receiver(connection, handlers={"*": heard.append})
            with (
                receiver.consumer_context() as (opened, _channel, _consumers),
                channel_to(amqp_url) as channel,
            ):
                for body, content_type in trapped(path):
                    channel.basic_publish(message(body, content_type, "x"), "celeryev", "worker.x")
                good = json.dumps(
                    {
                        "type": "worker-x",
                        "hostname": "h",
                        "timestamp": 0,
                        "clock": 1,
                        "utcoffset": 0,
                    }
                )
                last = amqp.Message(
                    good.encode(), content_type="application/json", content_encoding="utf-8"
                )
                channel.basic_publish(last, "celeryev", "worker.x")
                while not heard:
                    opened.drain_events(timeout=20)

    await asyncio.to_thread(listen)
    assert [each["type"] for each in heard] == ["worker-x"]
    assert not path.exists()


async def test_a_bus_in_its_own_process_unpickles_no_event(
    client: CeleryEventBus, amqp_url: str, tmp_path: Path
) -> None:
    """Each such message is a dead letter, and looking at that unpickles nothing either."""
    path = tmp_path / "trap"
    client.subscribe("desk", lambda event: None, name="desk")
    async with client:
        with channel_to(amqp_url) as channel:
            body, content_type = trapped(path)[0]
            channel.basic_publish(message(body, content_type, "desk"), "qt.events", "desk")
        record = await one_dead_letter(client, "desk")
    assert record.reason == "undecodable"
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accept_content", ["json", "pickle"]),
        ("accept_content", {"application/x-python-serialize"}),
        ("result_accept_content", ["pickle"]),
        ("event_serializer", "pickle"),
    ],
)
def test_an_app_that_allows_pickle_is_refused(name: str, value: Any) -> None:
    """Workers of such an app would run whatever anybody writes to one of their queues."""
    app = celery.Celery("old", set_as_current=False)
    app.conf[name] = value
    with pytest.raises(InvalidOptionError, match=f"{name} allows pickle"):
        CeleryEventBus(app=app)
