"""Flower on real workers: a delivery is shown as its handler ran; a missing broker is reported."""

import asyncio
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from qt_events.events.event import Event
from qt_events.testing.broker import Broker
from qt_events.testing.ports import free_ports
from qt_events.testing.proxy import Proxy
from tests.support.fleet.flower import FLOWER, POOLS, QT_EVENTS, Flower, FlowerFleet, Task
from tests.support.waiting import PATIENCE, until, until_told

Watched = tuple[FlowerFleet, Flower]


@pytest.fixture
def flower_fleet(amqp_url: str, broker: Broker, tmp_path: Path) -> Iterator[FlowerFleet]:
    """Return a fleet without workers; all of its processes are killed at the end."""
    opened = FlowerFleet(amqp_url, broker.management_url, tmp_path)
    yield opened
    opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=POOLS)
async def watched(
    request: pytest.FixtureRequest, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    """Start two workers of one pool and Flower. Tests share them; each looks at its own events."""
    vhost = f"qt-test-{uuid.uuid4().hex}"
    flower_fleet = FlowerFleet(
        broker.management.create_vhost(vhost),
        broker.management_url,
        tmp_path_factory.mktemp("desk"),
    )
    try:
        # Prefork serves no broadcasts.
        environment = {"FLEET_BROADCAST": "yes"} if request.param == "asyncio" else {}
        for _ in range(2):
            await flower_fleet.start(*POOLS[request.param], **environment)
        yield flower_fleet, await flower_fleet.watch()
    finally:
        flower_fleet.close()
        broker.management.delete_vhost(vhost)


on_the_asyncio_pool = pytest.mark.parametrize("watched", ["asyncio"], indirect=True)


def describe_arguments(event: Event[Any]) -> str:
    return f"({event.id!r}, {event.type!r})"


# Deliveries


async def test_a_delivery_is_a_task_of_the_subscriptions_name_with_the_events_id_and_type(
    watched: Watched,
) -> None:
    """A delivery is shown once, on the worker that made it, with no retry and no exception."""
    flower_fleet, flower = watched
    event = await flower_fleet.publish("order.requested")
    for name in ("executor", "risk_guard"):
        task = await flower.until_task(event, name, "SUCCESS")
        assert (task["args"], task["kwargs"], task["retries"], task["exception"]) == (
            describe_arguments(event),
            "{}",
            0,
            None,
        )
        assert task["worker"] in flower_fleet.nodes


@pytest.mark.parametrize("name", ["executor", "risk_guard"])
async def test_run_time_and_times_enclose_what_the_handler_measured(
    name: str, watched: Watched
) -> None:
    """The order is received, begun, ended, succeeded; the run time covers the handler's own."""
    flower_fleet, flower = watched
    event = await flower_fleet.publish("order.requested")
    task = await flower.until_task(event, name, "SUCCESS")
    (call,) = flower_fleet.calls(name, event)
    assert task["received"] <= call.details["begun"] < call.details["ended"] <= task["succeeded"]
    assert call.details["seconds"] <= task["runtime"] <= task["succeeded"] - task["received"]


@on_the_asyncio_pool
async def test_a_task_is_started_before_its_handler_and_by_its_process(watched: Watched) -> None:
    """The worker's name holds the process id of the handler.

    Only the asyncio pool is tested: a prefork child reports when it has already begun.
    """
    flower_fleet, flower = watched
    event = await flower_fleet.publish("order.requested")
    task = await flower.until_task(event, "executor", "SUCCESS")
    (call,) = flower_fleet.calls("executor", event)
    assert task["received"] <= task["started"] <= call.details["begun"]
    assert f"-{call.process}-" in task["worker"]


async def test_an_event_that_succeeds_at_the_third_attempt_ends_in_success_with_two_retries(
    watched: Watched,
) -> None:
    """One task stands for all attempts on all workers and shows the error of the attempt before."""
    flower_fleet, flower = watched
    event = await flower_fleet.publish("alert.raised")
    task = await flower.until_task(event, "discord_notifier", "SUCCESS")
    assert len(flower_fleet.calls("discord_notifier", event)) == 3
    assert (task["args"], task["retries"]) == (describe_arguments(event), 2)
    assert task["retried"] <= task["received"] <= task["succeeded"]
    assert_tells(task, "ConnectionError('the webhook hung up')", "notify")


async def test_an_event_whose_attempts_are_exhausted_ends_in_failure_with_its_exception(
    watched: Watched,
) -> None:
    """The task fails at the last attempt, not before, and stays failed."""
    flower_fleet, flower = watched
    event = await flower_fleet.publish("model.wanted", model="m7")
    task = await flower.until_task(event, "model_loader", "FAILURE")
    assert len(flower_fleet.calls("model_loader", event)) == 3
    assert (task["args"], task["retries"], task["succeeded"]) == (
        describe_arguments(event),
        2,
        None,
    )
    assert_tells(task, "FileNotFoundError('no weights for m7')", "load_model")


async def test_an_event_that_is_rejected_ends_in_failure_at_once(watched: Watched) -> None:
    """A rejected event has one attempt and no retry."""
    flower_fleet, flower = watched
    event = await flower_fleet.publish("trade.disputed")
    task = await flower.until_task(event, "auditor", "FAILURE")
    assert len(flower_fleet.calls("auditor", event)) == 1
    assert (task["args"], task["retries"], task["retried"]) == (describe_arguments(event), 0, None)
    assert_tells(task, "qt_events.Reject('no such trade')", "refuse")


def assert_tells(task: Task, exception: str, handler: str) -> None:
    """Assert the exception that the handler raised, and its place in the traceback."""
    assert task["exception"] == exception
    assert "flower_app.py" in task["traceback"]
    assert f"in {handler}\n" in task["traceback"]


@on_the_asyncio_pool
async def test_a_broadcast_is_a_task_for_each_process(watched: Watched) -> None:
    """The tasks have one name, and each is on its own worker."""
    flower_fleet, flower = watched
    event = await flower_fleet.publish("order.requested")
    done = lambda: [t["state"] for t in flower.tasks(event, "position_cache")] == ["SUCCESS"] * 2  # noqa: E731
    await until_told(done, what="two deliveries of one broadcast")
    tasks = flower.tasks(event, "position_cache")
    assert sorted(task["worker"] for task in tasks) == sorted(flower_fleet.nodes)
    assert {task["args"] for task in tasks} == {describe_arguments(event)}


async def test_an_event_revoked_in_flower_is_shown_as_revoked_and_is_a_dead_letter(
    flower_fleet: FlowerFleet,
) -> None:
    """Flower's button revokes an event that waits in a worker; the event is not lost silently."""
    await flower_fleet.start()
    flower = await flower_fleet.watch()
    first, second = (
        await flower_fleet.publish("trade.settled"),
        await flower_fleet.publish("trade.settled"),
    )
    await flower_fleet.until_called("analytics.begun", first)
    waiting = await flower.until_task(second, "analytics", "RECEIVED")
    await asyncio.to_thread(flower.get, f"/api/task/revoke/{waiting['uuid']}", "POST")
    with flower_fleet.client() as client:
        inspector = client.app.control.inspect(timeout=3, limit=1)
        await until_told(
            lambda: waiting["uuid"] in str(inspector.revoked()), what="the worker knows"
        )
        flower_fleet.open("analytics")
        await flower.until_task(first, "analytics", "SUCCESS")
        await flower.until_task(second, "analytics", "REVOKED")
        (letter,) = await client.dead_letters.list("analytics")
    assert (letter.event_id, letter.reason) == (second.id, "revoked")
    assert flower_fleet.calls("analytics.begun", second) == []


# Queues


async def test_the_queues_of_subscribers_that_are_away_are_shown_with_what_waits(
    flower_fleet: FlowerFleet,
) -> None:
    """Counts are right in a Flower that never met a worker; dead letters have a count too."""
    worker = await flower_fleet.start()
    lost = await flower_fleet.publish("trade.disputed")
    await flower_fleet.until_called("auditor", lost)
    worker.send_signal(signal.SIGTERM)
    await until(lambda: worker.poll() is not None, what="the worker's end")
    flower = await flower_fleet.watch(awaited=[])
    for _ in range(3):
        await flower_fleet.publish("order.requested")
    wanted = {
        "qt.sub.executor": 3,
        "qt.sub.risk_guard": 3,
        "qt.sub.analytics": 0,
        "qt.dead.auditor": 1,
        "qt.lost": 0,
    }
    await until_told(lambda: wanted.items() <= flower.queues().items(), what=f"{wanted}")
    await flower_fleet.start()
    await until_told(lambda: flower.queues()["qt.sub.executor"] == 0, what="an empty queue")


async def test_a_vhost_with_an_awkward_name_is_found(broker: Broker, tmp_path: Path) -> None:
    """Flower shows the queues of this vhost and of no other."""
    name = "qt-test a/b"
    flower_fleet = FlowerFleet(
        broker.management.create_vhost(name), broker.management_url, tmp_path
    )
    try:
        await flower_fleet.start()
        flower = await flower_fleet.watch()
        await until_told(lambda: "qt.sub.executor" in flower.queues(), what="its queues")
        queues = {each["name"] for each in broker.management.queues(name)}
        expected = {
            each
            for each in queues
            if each.startswith(("qt.sub.", "qt.quarantine.", "qt.dead.", "qt.lost", "qt.register"))
        }
        assert set(flower.queues()) == expected
    finally:
        flower_fleet.close()
        broker.management.delete_vhost(name)


async def test_a_url_alone_is_enough(flower_fleet: FlowerFleet) -> None:
    """Deliveries and queues are seen, without any code of the app."""
    await flower_fleet.start()
    given = [
        "flower",
        "--url",
        flower_fleet.url,
        "--management-url",
        flower_fleet.api,
        "--basic-auth=me:mine",
    ]
    (port,) = free_ports(1)
    process = flower_fleet.spawn("flower", [QT_EVENTS, *given, f"--port={port}"])
    flower = Flower(process, flower_fleet.path("flower"), port)
    await until_told(flower.answers, what="Flower answers")
    await until_told(lambda: flower.sees(flower_fleet.nodes), what="Flower sees the worker")
    event = await flower_fleet.publish("order.requested")
    task = await flower.until_task(event, "executor", "SUCCESS")
    assert task["args"] == describe_arguments(event)
    await until_told(lambda: "qt.sub.executor" in flower.queues(), what="queues of the bus")


# Without a broker


async def refusal(flower_fleet: FlowerFleet, *options: str) -> tuple[int, str]:
    """Return the exit status and the output of a Flower that does not start."""
    process = flower_fleet.spawn("flower", [*FLOWER, "-A", "flower_app", *options])
    await until(lambda: process.poll() is not None, what="the end of Flower")
    return process.returncode, flower_fleet.output("flower")


async def test_without_a_broker_it_says_so_and_exits_with_1(tmp_path: Path) -> None:
    """Flower ends at once with one line that names the address, without the password."""
    (port,) = free_ports(1)
    flower_fleet = FlowerFleet(
        f"amqp://guest:secret@127.0.0.1:{port}//", "http://127.0.0.1:1", tmp_path
    )
    try:
        status, words = await refusal(flower_fleet)
    finally:
        flower_fleet.close()
    assert status == 1
    last = words.splitlines()[-1]
    assert f"127.0.0.1:{port}" in last
    assert "is RabbitMQ running there?" in last
    assert "secret" not in words
    assert "Traceback" not in words


async def test_a_management_api_that_does_not_answer_is_named(flower_fleet: FlowerFleet) -> None:
    """A wrong address is a usage error, with the advice to enable the plugin."""
    (port,) = free_ports(1)
    status, words = await refusal(
        flower_fleet, f"--management-url=http://guest:secret@127.0.0.1:{port}/api/"
    )
    assert status == 2
    assert f"http://127.0.0.1:{port}/api/" in words
    assert "rabbitmq_management" in words
    assert "secret" not in words


async def test_a_taken_port_is_an_error_without_a_traceback(flower_fleet: FlowerFleet) -> None:
    """The error names the option that helps, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, words = await refusal(
            flower_fleet, f"--port={port}", f"--management-url={flower_fleet.api}"
        )
    assert status == 1
    assert "give a free --port" in words.splitlines()[-1]
    assert "Traceback" not in words


async def test_it_comes_back_when_the_broker_does(
    amqp_url: str, broker: Broker, tmp_path: Path
) -> None:
    """Flower goes on after an outage of the broker and shows what happens from then on."""
    place, api = urlsplit(amqp_url), urlsplit(broker.management_url)
    with (
        Proxy(place.hostname or "", place.port or 0) as proxy,
        Proxy(api.hostname or "", api.port or 0) as management,
    ):
        flower_fleet = FlowerFleet(
            proxy.url_for(amqp_url), management.url_for(broker.management_url), tmp_path
        )
        try:
            await flower_fleet.start()
            flower = await flower_fleet.watch()
            await flower.until_task(
                await flower_fleet.publish("order.requested"), "executor", "SUCCESS"
            )
            # Clients see what they see of a broker that is killed: resets, then a closed port.
            for each in (proxy, management):
                each.refuse()
                each.reset()
            await until(lambda: "Failed to" in flower.output, what="Flower notices")
            proxy.heal()
            management.heal()

            async def is_seen() -> bool:
                event = await flower_fleet.publish("order.requested")
                await flower_fleet.until_called("executor", event)
                return await asyncio.to_thread(lambda: bool(flower.tasks(event, "executor")))

            async with asyncio.timeout(2 * PATIENCE):
                while not await is_seen():
                    pass
            # It asks for the lengths of queues again.
            await until_told(lambda: "qt.sub.executor" in flower.queues(), what="queues")
        finally:
            flower_fleet.close()


async def test_sigterm_ends_it_while_the_broker_is_away(
    amqp_url: str, broker: Broker, tmp_path: Path
) -> None:
    """Its threads, which wait for the broker for ever, are not waited for."""
    place = urlsplit(amqp_url)
    with Proxy(place.hostname or "", place.port or 0) as proxy:
        flower_fleet = FlowerFleet(proxy.url_for(amqp_url), broker.management_url, tmp_path)
        try:
            await flower_fleet.start()
            flower = await flower_fleet.watch()
            await until_told(lambda: "stats" in flower.page("/api/workers"), what="answers")
            proxy.refuse()
            proxy.reset()
            await asyncio.to_thread(flower.begin_to_revoke)
            flower.process.send_signal(signal.SIGTERM)
            await until(lambda: flower.process.poll() is not None, what="Flower ends")
            assert flower.process.returncode == 0, flower.output
        finally:
            flower_fleet.close()
