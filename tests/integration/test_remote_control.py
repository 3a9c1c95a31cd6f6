"""Remote control on each pool: it works or an error says why not. No command harms the worker."""

import asyncio
import signal
import time
from typing import Any

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.worker.remote_control import RULES
from tests.support.fleet.fleet import Fleet, StartedWorker
from tests.support.fleet.remote_control import RemoteControl, one_dead_letter, publish

pytestmark = pytest.mark.serves("quick", "quick_async", "gated")

POOLS = {
    "asyncio": (),
    "prefork": ("-P", "processes"),
    "threads": ("-P", "threads"),
    "solo": ("-P", "solo"),
}
PROGRAM = ("-m", "celery", "-A", "pools_app", "worker")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "time_limit": {"task_name": "quick", "soft": 5, "hard": 9},
    "revoke_by_stamped_headers": {"headers": ["stamp=1"]},
    "election": {"id": "1", "topic": "leader"},
}


async def start(fleet: Fleet, pool: str, *options: str, **environment: str) -> StartedWorker:
    return await fleet.start(*POOLS[pool], *options, ready=True, program=PROGRAM, **environment)


async def serves(fleet: Fleet, client: CeleryEventBus) -> None:
    """An event published now is handled."""
    event = await publish(client, "quick")
    await fleet.until_called("quick", event=event)


# Looking


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("quick", "gated", "overdue.tidy")
async def test_inspect_answers_on_each_pool(
    pool: str, fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """ping, registered, active_queues, stats, active and reserved. stats has the pool's size."""
    await start(fleet, pool, "-c", "2")
    await serves(fleet, client)
    assert await remote.inspect("ping") == {"ok": "pong"}
    assert {"quick", "gated", "overdue.tidy"} <= set(await remote.inspect("registered"))
    assert "qt.sub.gated" in {each["name"] for each in await remote.inspect("active_queues")}
    stats = await remote.inspect("stats")
    module = {
        "asyncio": "qt_events.rabbitmq.pools.asyncio_pool:AsyncioPool",
        "threads": "celery.concurrency.thread:TaskPool",
    }
    assert stats["pool"]["implementation"] == module.get(
        pool, f"celery.concurrency.{pool}:TaskPool"
    )
    assert stats["pool"]["max-concurrency"] == (1 if pool == "solo" else 2)
    assert stats["total"] == {"quick": 1}
    assert await remote.until_inspected("active", lambda active: active == []) == []
    assert await remote.inspect("reserved") == []


@pytest.mark.parametrize(
    "pool", ["asyncio", "prefork", "threads"]
)  # solo answers between two events
@pytest.mark.serves("gated_two")
async def test_active_and_reserved_show_event_and_type(
    pool: str, fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """Events being handled, and events in hand, each with the event's id and type as arguments."""
    await start(fleet, pool, "-c", "2")
    events = [await publish(client, "gated.two", n=n) for n in range(3)]
    await fleet.until_called("gated.begun", 2)
    active = await remote.inspect("active")
    assert {each["id"] for each in active} == {f"{event.id}:gated_two" for event in events[:2]}
    assert {tuple(each["args"]) for each in active} == {
        (event.id, "gated.two") for event in events[:2]
    }
    if pool != "threads":  # which takes from the broker only what it handles at once
        (reserved,) = await remote.until_inspected("reserved", bool)
        assert (reserved["name"], reserved["args"]) == ("gated_two", [events[2].id, "gated.two"])
    fleet.open()
    await fleet.until_called("gated", 3)


@pytest.mark.serves("gated_two")
async def test_stats_of_the_asyncio_pool_show_its_lanes(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """Threads, events held, and what waits and is handled in each subscription's lane."""
    await start(fleet, "asyncio", "-c", "3")
    for n in range(5):
        await publish(client, "gated.two", n=n)
    await fleet.until_called("gated.begun", 2)
    stats = await remote.until_inspected("stats", lambda stats: stats["pool"]["held"] == 3)
    assert stats["pool"]["lanes"] == {"gated_two": {"waiting": 1, "handling": 2, "concurrency": 2}}
    assert (stats["pool"]["max-concurrency"], stats["pool"]["threads"]) == (3, 2)
    fleet.open()
    await fleet.until_called("gated", 5)


# What is refused


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("quick")
async def test_what_a_pool_cannot_do_is_answered_by_name(
    pool: str, fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """The answer is an error that says why; the worker goes on."""
    await start(fleet, pool)
    refused = {rule.command: rule.refused[pool] for rule in RULES if pool in rule.refused}
    answers = {
        command: await remote.answer(command, **ARGUMENTS.get(command, {})) for command in refused
    }
    assert answers == {
        command: {"error": f"{command} on {pool}: {why}"} for command, why in refused.items()
    }
    await serves(fleet, client)


@pytest.mark.serves("quick")
async def test_what_is_not_enabled_is_answered_by_celery(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """autoscale and pool_restart without their options are errors, and the worker goes on."""
    await start(fleet, "prefork")
    assert "Autoscale not enabled" in (await remote.answer("autoscale", max=3, min=1))["error"]
    assert "Pool restarts not enabled" in (await remote.answer("pool_restart"))["error"]
    await serves(fleet, client)


# Size


@pytest.mark.parametrize("pool", ["asyncio", "prefork"])
@pytest.mark.serves("gated_two", "quick")
async def test_a_pool_grows_and_shrinks(
    pool: str, fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """pool_grow: that many more handlers at a time; pool_shrink: fewer, and one at least."""

    def size(stats: dict[str, Any]) -> int:
        processes = stats["pool"].get("processes")
        return int(stats["pool"]["max-concurrency"]) if processes is None else len(processes)

    await start(fleet, pool, "-c", "1")
    await publish(client, "gated.two")
    await publish(client, "gated.two")
    await fleet.until_called("gated.begun")
    assert await remote.answer("pool_grow", n=2) == {"ok": "pool will grow"}
    await fleet.until_called("gated.begun", 2)  # the second waited for a thread or a process
    await remote.until_inspected("stats", lambda stats: size(stats) == 3)
    fleet.open()
    await fleet.until_called("gated", 2)
    await remote.until_inspected("active", lambda active: active == [])
    assert await remote.answer("pool_shrink", n=2) == {"ok": "pool will shrink"}
    await remote.until_inspected("stats", lambda stats: size(stats) == 1)
    await serves(fleet, client)


# Queues


@pytest.mark.parametrize("pool", POOLS)
async def test_a_queue_is_left_and_taken_up(
    pool: str, fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """cancel_consumer leaves events in the queue, add_consumer takes them. Another is an error."""
    await start(fleet, pool)
    assert await remote.answer("cancel_consumer", queue="qt.sub.quick") == {
        "ok": "no longer consuming from qt.sub.quick"
    }
    await remote.until_inspected(
        "active_queues", lambda queues: "qt.sub.quick" not in {q["name"] for q in queues}
    )
    event = await publish(client, "quick")
    fence = await publish(client, "quick_async")
    await fleet.until_called("quick_async", event=fence)
    assert fleet.calls("quick", event) == []
    for command in ("add_consumer", "cancel_consumer"):
        answer = await remote.answer(command, queue="stranger")
        assert answer == {
            "error": f"{command} on {pool}: no subscription of this worker has a queue 'stranger'"
        }
    assert await remote.answer("add_consumer", queue="qt.sub.quick") == {
        "ok": "add consumer qt.sub.quick"
    }
    await fleet.until_called("quick", event=event)


# Limits


@pytest.mark.serves("overdue.blocked")
async def test_a_time_limit_for_one_subscription_of_prefork(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """`control time_limit` holds for what is received from then on, of that subscription."""
    await start(fleet, "prefork", "-c", "1")
    answer = await remote.answer("time_limit", task_name="overdue.blocked", soft=1, hard=30)
    assert answer == {"ok": "time limits set successfully"}
    event = await publish(client, "overdue.blocked")
    record = await one_dead_letter(client, "overdue.blocked")
    assert (record.event_id, record.attempts) == (event.id, 2)
    assert record.exception_type.endswith("SoftTimeLimitExceeded")


@pytest.mark.parametrize("pool", POOLS)
async def test_a_rate_limit_holds_until_it_is_lifted(
    pool: str, fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """One an hour: the second event waits, others do not. Without the limit it is handled."""
    await start(fleet, pool)
    answer = await remote.answer("rate_limit", task_name="quick", rate_limit="1/h")
    assert answer == {"ok": "new rate limit set successfully"}
    events = [await publish(client, "quick", n=n) for n in range(3)]
    await fleet.until_called("quick", event=events[0])
    fence = await publish(client, "quick_async")
    await fleet.until_called("quick_async", event=fence)
    before = time.monotonic()
    assert await remote.answer("rate_limit", task_name="quick", rate_limit=0) == {
        "ok": "rate limit disabled successfully"
    }
    first, *others = await fleet.until_called("quick", 3)
    assert first.at < before < others[0].at
    if pool != "prefork":
        assert [call.event_id for call in (first, *others)] == [event.id for event in events]


# Revoking, stopping


@pytest.mark.parametrize("pool", POOLS)
async def test_a_handler_that_runs_is_not_terminated(
    pool: str, fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """`revoke --terminate`: its event is neither lost nor a dead letter, and solo answers later."""
    await start(fleet, pool)
    event = await publish(client, "gated")
    await fleet.until_called("gated.begun", event=event)
    asked = asyncio.create_task(
        remote.answer("revoke", task_id=[f"{event.id}:gated"], terminate=True)
    )
    if pool != "solo":
        assert await asked == {"ok": "flagged as revoked; a handler that runs is not terminated"}
    fleet.open()
    await fleet.until_called("gated", event=event)
    await asked
    await serves(fleet, client)
    assert await client.dead_letters.list("gated") == []


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("gated")
async def test_shutdown_finishes_what_is_held(
    pool: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """`control shutdown`: the handler comes to its end, once, and the worker exits with 0."""
    worker = await start(fleet, pool)
    event = await publish(client, "gated")
    await fleet.until_called("gated.begun", event=event)
    await asyncio.to_thread(client.app.control.shutdown)
    fleet.open()
    assert await worker.ended() == 0
    assert len(fleet.calls("gated", event)) == 1
    assert len(fleet.calls("gated.begun", event)) == 1


@pytest.mark.serves("quick")
async def test_prefork_restarts_its_children(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """pool_restart replaces each child after its next event, and no event is lost."""
    worker = await start(fleet, "prefork", "-c", "2", POOL_RESTARTS="1")
    before = set((await remote.inspect("stats"))["pool"]["processes"])
    assert await remote.answer("pool_restart") == {"ok": "reload started"}
    events = []
    async with asyncio.timeout(40):
        while before.intersection((await remote.inspect("stats"))["pool"]["processes"]):
            events += [await publish(client, "quick") for _ in range(2)]
            await fleet.until_called("quick", len(events))
    await serves(fleet, client)
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    handled = [call.event_id for call in fleet.calls("quick")]
    assert all(handled.count(event.id) == 1 for event in events)
