"""A worker process by remote control, and what it tells monitors: Celery's own tools see events."""

import asyncio

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker.management import Management
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import RemoteControl, monitor, one_dead_letter, publish
from tests.support.waiting import until

pytestmark = pytest.mark.serves("gated")


@pytest.mark.serves("gated", "on_loop", "killing")
async def test_inspect_shows_what_a_worker_does(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """ping, active, reserved, registered, stats and active_queues show subscriptions and events."""
    await fleet.start()
    events = [await publish(client, "gated", n=n) for n in range(3)]
    await fleet.until_called("gated.begun", 2)
    assert await remote.inspect("ping") == {"ok": "pong"}
    active = await remote.inspect("active")
    assert {each["id"] for each in active} == {f"{event.id}:gated" for event in events[:2]}
    assert [each["args"] for each in active] == [
        [each["id"].removesuffix(":gated"), "gated"] for each in active
    ]
    (reserved,) = await remote.until_inspected("reserved", bool)
    assert (reserved["id"], reserved["name"]) == (f"{events[2].id}:gated", "gated")
    assert {"on_loop", "gated", "killing"} <= set(await remote.inspect("registered"))
    assert "qt.sub.gated" in {each["name"] for each in await remote.inspect("active_queues")}
    assert (await remote.inspect("stats"))["total"] == {"gated": 2}
    fleet.open()
    await fleet.until_called("gated", 3)


async def test_control_shutdown_drains_first(fleet: Fleet, client: CeleryEventBus) -> None:
    """A worker shut down by remote control finishes what it holds and exits with 0."""
    worker = await fleet.start()
    event = await publish(client, "gated")
    await fleet.until_called("gated.begun", event=event)
    await asyncio.to_thread(client.app.control.shutdown)
    await until(lambda: "stopping: 1 events to finish" in worker.output)
    fleet.open()
    assert await worker.ended() == 0
    assert len(fleet.calls("gated", event)) == 1


@pytest.mark.serves("on_loop", "in_thread")
async def test_a_queue_is_left_and_taken_up_by_remote_control(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """cancel_consumer leaves events in their queue, and add_consumer takes them up again."""
    await fleet.start()
    await remote.order("cancel_consumer", queue="qt.sub.on_loop")
    await remote.until_inspected(
        "active_queues", lambda queues: "qt.sub.on_loop" not in {q["name"] for q in queues}
    )
    event = await publish(client, "order.placed")
    await fleet.until_called("in_thread", event=event)
    assert fleet.calls("on_loop", event) == []
    await remote.order("add_consumer", queue="qt.sub.on_loop")
    await fleet.until_called("on_loop", event=event)


@pytest.mark.serves("on_loop")
async def test_add_consumer_makes_no_queue_of_celerys_own(
    fleet: Fleet, remote: RemoteControl, management: Management, vhost: str
) -> None:
    """A queue that no subscription has is not made, and the log says so."""
    worker = await fleet.start()
    await remote.order("add_consumer", queue="stranger")
    await until(lambda: "no subscription of this worker has a queue 'stranger'" in worker.output)
    assert "stranger" not in {each["name"] for each in management.queues(vhost)}


async def test_a_revoked_event_becomes_a_dead_letter(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """Not even an operator drops events silently. The reason is `revoked`; it can be sent back."""
    await fleet.start()
    held = [await publish(client, "gated", n=n) for n in range(2)]
    await fleet.until_called("gated.begun", 2)
    event = await publish(client, "gated", n=2)
    await remote.until_inspected("reserved", bool)
    await remote.order("revoke", task_id=[f"{event.id}:gated"])
    fleet.open()
    record = await one_dead_letter(client, "gated")
    assert (record.event_id, record.reason) == (event.id, "revoked")
    assert {call.event_id for call in fleet.calls("gated")} == {each.id for each in held}
    await client.dead_letters.retry_all("gated")
    await fleet.until_called("gated", event=event)


async def test_revoke_with_terminate_lets_a_running_handler_finish(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """No process is one handler's alone: it is not killed, and its event is not lost."""
    worker = await fleet.start()
    event = await publish(client, "gated")
    await fleet.until_called("gated.begun", event=event)
    await remote.order("revoke", task_id=[f"{event.id}:gated"], terminate=True)
    await until(lambda: "is being handled and goes on" in worker.output)
    fleet.open()
    await fleet.until_called("gated", event=event)
    assert await client.dead_letters.list("gated") == []


# Celery's events


@pytest.mark.serves("on_loop", "failing")
async def test_celerys_events_tell_what_happened(fleet: Fleet, client: CeleryEventBus) -> None:
    """Monitors (-E) hear received, started, then succeeded, retried or failed, with id and type."""
    await fleet.start("-E")
    with monitor(client) as heard:
        good, bad = await publish(client, "order.placed"), await publish(client, "failing")
        good_id, bad_id = f"{good.id}:on_loop", f"{bad.id}:failing"
        await until(
            lambda: (
                "task-succeeded" in heard.types(good_id) and "task-failed" in heard.types(bad_id)
            )
        )
    assert heard.types(good_id) == ["task-received", "task-started", "task-succeeded"]
    once = ["task-received", "task-started"]
    assert heard.types(bad_id) == [*once, "task-retried", *once, "task-failed"]
    received, _, succeeded = heard.by_id[good_id]
    assert (received["name"], received["args"], received["retries"]) == (
        "on_loop",
        str((good.id, "order.placed")),
        0,
    )
    assert 0 <= succeeded["runtime"] < 10
    assert [each["retries"] for each in heard.by_id[bad_id] if each["type"] == "task-received"] == [
        0,
        1,
    ]
    failed = heard.by_id[bad_id][-1]
    assert "OSError" in failed["exception"]
    assert "in failing" in failed["traceback"]


async def test_a_revoked_event_is_shown_as_revoked(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """Flower's word for it is the right one."""
    await fleet.start("-E")
    with monitor(client) as heard:
        await publish(client, "gated")
        await publish(client, "gated")
        await fleet.until_called("gated.begun", 2)
        event = await publish(client, "gated")
        await remote.until_inspected("reserved", bool)
        await remote.order("revoke", task_id=[f"{event.id}:gated"])
        fleet.open()
        await until(lambda: "task-revoked" in heard.types(f"{event.id}:gated"))
