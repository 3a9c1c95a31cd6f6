"""A worker that stops: tasks of the app's own are finished within the grace, or given back."""

import asyncio
import signal

import celery
import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker.management import Management
from tests.support.channels import depth
from tests.support.fleet.fleet import Fleet, StartedWorker
from tests.support.fleet.remote_control import publish
from tests.support.waiting import until, until_told

PROGRAM = ("-m", "celery", "-A", "plain_app", "worker")
QUEUE = "plain_tasks"
SIGTERM = signal.SIGTERM
POOLS = {
    "asyncio": ("-c", "1"),
    "prefork": ("-P", "processes", "-c", "1"),
    "threads": ("-P", "threads", "-c", "1"),
    "solo": ("-P", "solo"),
}


async def start(fleet: Fleet, *options: str, grace: str = "20") -> StartedWorker:
    return await fleet.start(*options, program=PROGRAM, FLEET_GRACE=grace)


async def send(url: str, *names: str, **options: float) -> None:
    """Send tasks of these names, in this order."""

    def sent() -> None:
        with celery.Celery(broker=url, set_as_current=False) as sender:
            for name in names:
                sender.send_task(name, queue=QUEUE, ignore_result=True, **options)

    await asyncio.to_thread(sent)


async def taken(url: str) -> None:
    """Return once the worker holds all that was sent."""
    await until_told(lambda: depth(url, QUEUE) == 0)


@pytest.mark.parametrize("name", ["early", "late"])
@pytest.mark.parametrize("pool", POOLS)
async def test_sigterm_lets_a_running_task_come_to_its_end(
    pool: str, name: str, fleet: Fleet, amqp_url: str
) -> None:
    """It runs once, and is acknowledged; what has not begun is back on its queue."""
    worker = await start(fleet, *POOLS[pool])
    await send(amqp_url, name)
    await fleet.until_called(f"{name}.begun")
    await send(amqp_url, "early", "late")
    # Celery's own pools take them when they can.
    await taken(amqp_url)
    worker.send(SIGTERM)
    await until(lambda: "Warm shutdown" in worker.output)
    if pool == "asyncio":
        await until(lambda: "stopping: 1 tasks to finish" in worker.output, what=worker.output)
        assert "2 tasks that have not begun go back" in worker.output
    fleet.open("tasks")
    assert await worker.ended() == 0, worker.output
    assert len(fleet.calls(name)) == len(fleet.calls(f"{name}.begun")) >= 1
    ran = len(fleet.calls("early")) + len(fleet.calls("late"))
    await until_told(lambda: depth(amqp_url, QUEUE) == 3 - ran)
    if pool == "asyncio":
        assert ran == 1


async def test_what_waits_for_its_time_goes_back_and_is_not_begun(
    fleet: Fleet, amqp_url: str
) -> None:
    """Tasks with a countdown, and those over a rate limit, that fall due within the grace."""
    worker = await start(fleet, "-c", "4")
    await send(amqp_url, "early")
    await fleet.until_called("early.begun")
    await send(amqp_url, "limited", "limited")
    await send(amqp_url, "late", countdown=3)
    await taken(amqp_url)
    await fleet.until_called("limited")
    worker.send(SIGTERM)
    await until(lambda: "2 tasks that have not begun go back" in worker.output, what=worker.output)
    # Longer than the countdown.
    await asyncio.sleep(4)
    assert fleet.calls("late.begun") == []
    fleet.open("tasks")
    assert await worker.ended() == 0
    assert len(fleet.calls("early")) == len(fleet.calls("limited")) == 1
    await until_told(lambda: depth(amqp_url, QUEUE) == 2)


async def test_a_task_that_outlives_the_grace_is_named(fleet: Fleet, amqp_url: str) -> None:
    """One that Celery has acknowledged is lost: the log says so. The other one comes back."""
    worker = await start(fleet, "-c", "4", grace="0.5")
    await send(amqp_url, "early", "late")
    await fleet.until_called("early.begun")
    await fleet.until_called("late.begun")
    worker.send(SIGTERM)
    assert await worker.ended(20) == 0
    await until_told(lambda: depth(amqp_url, QUEUE) == 1)
    (lost,) = [line for line in worker.output.splitlines() if "is lost" in line]
    assert "WARNING" in lost
    assert "task early[" in lost
    assert any("task late[" in line and "goes back" in line for line in worker.output.splitlines())


async def test_a_task_is_finished_beside_the_events(
    fleet: Fleet, client: CeleryEventBus, amqp_url: str
) -> None:
    """By remote control, too. Neither waits for the other one alone."""
    worker = await start(fleet, "-c", "4")
    await send(amqp_url, "early")
    event = await publish(client, "gated")
    await fleet.until_called("early.begun")
    await fleet.until_called("gated.begun", event=event)
    await asyncio.to_thread(client.app.control.shutdown)
    await until(lambda: "stopping: 1 tasks to finish" in worker.output, what=worker.output)
    fleet.open("events")
    await fleet.until_called("gated", event=event)
    fleet.open("tasks")
    assert await worker.ended() == 0
    assert len(fleet.calls("early")) == len(fleet.calls("gated")) == 1


async def test_a_running_task_survives_the_loss_of_the_connection_while_it_stops(
    fleet: Fleet, client: CeleryEventBus, amqp_url: str, management: Management, vhost: str
) -> None:
    """No outcome of an event could be acknowledged any more; a task that was has its grace."""
    worker = await start(fleet, "-c", "4", grace="60")
    await send(amqp_url, "early")
    await fleet.until_called("early.begun")
    worker.send(SIGTERM)
    await until(lambda: "stopping: 1 tasks to finish" in worker.output, what=worker.output)
    await until_told(lambda: management.connections(vhost))
    await asyncio.to_thread(management.close_connections, vhost)
    await until(lambda: "stopping: the connection is lost" in worker.output)
    assert worker.process.poll() is None, worker.output
    fleet.open("tasks")
    await worker.ended()
    assert len(fleet.calls("early")) == 1


async def test_what_waits_for_a_thread_when_the_connection_is_lost_runs_once(
    fleet: Fleet, amqp_url: str, management: Management, vhost: str
) -> None:
    """The broker delivers it again: the worker forgets the copy that it has."""
    worker = await start(fleet, "-c", "1")
    await send(amqp_url, "early")
    await fleet.until_called("early.begun")
    await send(amqp_url, "late", "late")
    await taken(amqp_url)
    await until_told(lambda: management.connections(vhost))
    await asyncio.to_thread(management.close_connections, vhost)
    await until(lambda: worker.output.count("Task late[") == 4, what=worker.output)
    fleet.open("tasks")
    await fleet.until_called("late", 2)
    await send(amqp_url, "exits")
    await fleet.until_called("exits")
    assert len(fleet.calls("late")) == 2


async def test_a_task_that_calls_exit_is_settled(fleet: Fleet, amqp_url: str) -> None:
    """It fails as on prefork, where its process is lost; nothing is held for ever."""
    worker = await start(fleet, "-c", "1")
    await send(amqp_url, "exits", "early")
    await fleet.until_called("early.begun")
    fleet.open("tasks")
    worker.send(SIGTERM)
    assert await worker.ended() == 0
    assert depth(amqp_url, QUEUE) == 0
    assert len(fleet.calls("exits")) == 1
