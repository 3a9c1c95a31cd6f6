"""Each pool keeps its promises: parallel processes, killed children, time limits, autoscaling."""

import asyncio
import signal
from typing import Any

import pytest

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.channels import depth
from tests.support.fleet.fleet import Fleet, StartedWorker
from tests.support.fleet.remote_control import RemoteControl, monitor, one_dead_letter, publish
from tests.support.waiting import until, until_told

pytestmark = pytest.mark.serves("quick", "gated")

POOLS = {
    "asyncio": (),
    "prefork": ("-P", "processes"),
    "threads": ("-P", "threads"),
    "solo": ("-P", "solo"),
}
PROGRAM = ("-m", "celery", "-A", "pools_app", "worker")
NOT_PREFORK = ["asyncio", "threads", "solo"]


async def start(
    fleet: Fleet, pool: str, *options: str, ready: bool = True, **environment: str
) -> StartedWorker:
    return await fleet.start(*POOLS[pool], *options, program=PROGRAM, ready=ready, **environment)


# In parallel


@pytest.mark.serves("crunch")
async def test_cpu_bound_handlers_run_in_several_processes_at_once(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """Two events of one subscription are computed at the same time on prefork."""
    await start(fleet, "prefork", "-c", "2")
    for n in range(6):
        await publish(client, "crunch", n=n)
    ended = await fleet.until_called("crunch.ended", 6)
    begun = {call.event_id: call for call in fleet.calls("crunch.begun")}
    spans = [(begun[call.event_id].at, call.at, call.process) for call in ended]
    overlapping = [
        (one, other)
        for one in spans
        for other in spans
        if one[2] != other[2] and one[0] < other[1] and other[0] < one[1]
    ]
    assert len({process for _, _, process in spans}) == 2
    assert overlapping


# Children that are killed


@pytest.mark.serves("killing", "bystander")
async def test_a_child_killed_under_load_costs_nobody_an_event(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """The event it had is delivered again; all others are handled once."""
    worker = await start(fleet, "prefork", "-c", "2")
    events = [await publish(client, "killing", kills=int(n == 5)) for n in range(20)]
    for event in events:
        await fleet.until_called("bystander", event=event)
        await fleet.until_called("killing", 2 if event is events[5] else 1, event)
    await asyncio.to_thread(worker.send, signal.SIGTERM)
    assert await worker.ended() == 0
    handled = [call.event_id for call in fleet.calls("killing")]
    assert {event.id: handled.count(event.id) for event in events} == {
        event.id: 2 if event is events[5] else 1 for event in events
    }
    assert await client.dead_letters.list("killing") == []


# Time limits


@pytest.mark.serves("overdue.blocked", "overdue.computing", "overdue.waiting", "quick")
async def test_a_soft_time_limit_is_a_failed_attempt(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """A handler that is blocked, computes or awaits gets SoftTimeLimitExceeded, and is retried."""
    await start(fleet, "prefork", "-c", "3", "--soft-time-limit", "1")
    before = (await remote.inspect("stats"))["pool"]["processes"]
    handlers = ("blocked", "computing", "waiting")
    events = {each: await publish(client, f"overdue.{each}") for each in handlers}
    for handler, event in events.items():
        record = await one_dead_letter(client, f"overdue.{handler}")
        assert (record.event_id, record.reason, record.attempts) == (event.id, "exhausted", 2)
        assert record.exception_type.endswith("SoftTimeLimitExceeded")
        assert f"overdue_{handler}" in record.traceback
        assert len(fleet.calls(f"overdue.{handler}", event)) == 2
    after = await publish(client, "quick")
    await fleet.until_called("quick", event=after)
    # Nobody was killed.
    assert (await remote.inspect("stats"))["pool"]["processes"] == before


@pytest.mark.serves("overdue.tidy", "overdue.tidy_async")
async def test_a_handler_may_tidy_up_at_its_soft_time_limit(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """A handler that catches the error, or its cancellation, and returns has handled its event."""
    worker = await start(fleet, "prefork", "-c", "2", "--soft-time-limit", "1")
    names = ("overdue.tidy", "overdue.tidy_async")
    events = {name: await publish(client, name) for name in names}
    for name, event in events.items():
        await fleet.until_called(name, event=event)
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    for name, event in events.items():
        assert len(fleet.calls(name, event)) == 1
        assert await client.dead_letters.list(name) == []


@pytest.mark.serves("poison", "quick")
async def test_an_event_that_always_exceeds_its_hard_time_limit_ends_as_a_dead_letter(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """A child is killed each time. The event is handled alone at last, and then it is poison."""
    worker = await start(fleet, "prefork", "-c", "1", "--time-limit", "1")
    event = await publish(client, "poison")
    record = await one_dead_letter(client, "poison")
    assert (record.event_id, record.reason) == (event.id, "poison")
    assert len({call.process for call in fleet.calls("overdue.blocked", event)}) > 1
    after = await publish(client, "quick")
    await fleet.until_called("quick", event=after)
    assert worker.process.poll() is None


@pytest.mark.parametrize("pool", NOT_PREFORK)
@pytest.mark.serves("quick")
async def test_options_of_prefork_are_not_ignored_in_silence(
    pool: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """A worker whose pool has no time limits names the options, and serves."""
    worker = await start(
        fleet, pool, "--time-limit", "5", "--soft-time-limit=4", "--max-tasks-per-child", "10"
    )
    options = "--time-limit (task_time_limit), --soft-time-limit (task_soft_time_limit)"
    assert f"{options}, --max-tasks-per-child: no effect on {pool}, only on pre" in worker.output
    event = await publish(client, "quick")
    await fleet.until_called("quick", event=event)


# How many processes


@pytest.mark.serves("gated")
async def test_autoscaling_grows_under_load_and_shrinks_after_it(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """There are four children while events wait, and one when none does."""
    worker = await start(fleet, "prefork", "--autoscale=4,1", AUTOSCALE_KEEPALIVE="1")
    assert len((await remote.inspect("stats"))["pool"]["processes"]) == 1
    events = [await publish(client, "gated", n=n) for n in range(12)]
    begun = await fleet.until_called("gated.begun", 4)
    assert len({call.process for call in begun}) == 4
    fleet.open()
    for event in events:
        await fleet.until_called("gated", event=event)
    await remote.until_inspected("stats", lambda stats: len(stats["pool"]["processes"]) == 1)
    last = await publish(client, "gated")
    await fleet.until_called("gated", event=last)
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    handled = [call.event_id for call in fleet.calls("gated")]
    assert sorted(handled) == sorted(event.id for event in [*events, last])


@pytest.mark.parametrize("pool", NOT_PREFORK)
@pytest.mark.serves("quick")
async def test_autoscaling_another_pool_is_refused_by_name(pool: str, fleet: Fleet) -> None:
    """There are no processes to start and end: the worker does not start, and says what to do."""
    worker = await start(fleet, pool, "--autoscale=4,1", ready=False)
    assert await worker.ended() != 0
    assert (
        f"NotSupportedError: --autoscale starts and ends processes, and {pool} has none: use -c"
        in worker.output
    )


@pytest.mark.serves("quick")
async def test_children_that_are_replaced_after_so_many_events_lose_none(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """--max-tasks-per-child: another process every few events, each event handled once."""
    worker = await start(fleet, "prefork", "-c", "2", "--max-tasks-per-child", "3")
    events = [await publish(client, "quick", n=n) for n in range(14)]
    for event in events:
        await fleet.until_called("quick", event=event)
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    calls = fleet.calls("quick")
    assert sorted(call.event_id for call in calls) == sorted(event.id for event in events)
    per_process = [call.process for call in calls]
    assert max(per_process.count(process) for process in set(per_process)) <= 3


# Names


@pytest.mark.parametrize("pool", POOLS)
async def test_a_second_worker_of_the_same_name_ends_with_advice(
    pool: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """The log says on one line what to do, and the first worker goes on undisturbed."""
    first = await start(fleet, pool, "-n", "same@%h")
    event = await publish(client, "gated")
    await fleet.until_called("gated.begun", event=event)
    second = await start(fleet, pool, "-n", "same@%h", ready=False)
    assert await second.ended() == 1
    (line,) = [line for line in second.output.splitlines() if "is running already" in line]
    assert "BusStateError: a worker named same@" in line
    assert "-n same2@%h" in line
    assert "Traceback" not in second.output
    fleet.open()
    await fleet.until_called("gated", event=event)
    after = await publish(client, "quick")
    await fleet.until_called("quick", event=after)
    first.send(signal.SIGTERM)
    assert await first.ended() == 0
    assert {call.process for name in ("gated", "quick") for call in fleet.calls(name)}.isdisjoint(
        {second.pid}
    )
    assert len(fleet.calls("gated.begun", event)) == 1


# Celery's events


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("quick", "failing")
async def test_celerys_events_tell_the_same_on_each_pool(
    pool: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """Task events tell the run time of a success, and a failing handler's own error."""
    await start(fleet, pool, "-E")
    with monitor(client) as heard:
        good, bad = await publish(client, "quick"), await publish(client, "failing")
        good_id, bad_id = f"{good.id}:quick", f"{bad.id}:failing"
        await until(
            lambda: (
                "task-succeeded" in heard.types(good_id) and "task-failed" in heard.types(bad_id)
            )
        )
    once = ["task-received", "task-started"]
    assert heard.types(good_id) == [*once, "task-succeeded"]
    assert heard.types(bad_id) == [*once, "task-retried", *once, "task-failed"]
    received, _, succeeded = heard.by_id[good_id]
    assert (received["name"], received["args"]) == ("quick", str((good.id, "quick")))
    assert 0 <= succeeded["runtime"] < 30
    assert [each["retries"] for each in heard.by_id[bad_id] if each["type"] == "task-received"] == [
        0,
        1,
    ]
    for told in heard.by_id[bad_id]:
        if told["type"] in {"task-retried", "task-failed"}:
            assert told["exception"] == "OSError('it never works')"
            assert "in failing" in told["traceback"]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("quick")
async def test_a_revoked_event_is_no_failure_on_any_pool(
    pool: str, fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """Task events call it revoked. It is a dead letter, and its handler is not called."""
    await start(fleet, pool, "-E")
    event: Event[Any] = Event("quick")
    await remote.order("revoke", task_id=[f"{event.id}:quick"])
    with monitor(client) as heard:
        await client.publish(event)
        record = await one_dead_letter(client, "quick")
        await until(lambda: "task-revoked" in heard.types(f"{event.id}:quick"))
    assert (record.event_id, record.reason) == (event.id, "revoked")
    assert "task-failed" not in heard.types(f"{event.id}:quick")
    assert fleet.calls("quick", event) == []


# Blocked


@pytest.mark.serves("blocking", "quick")
async def test_on_solo_a_handler_that_outlives_the_heartbeats_is_called_once(
    fleet: Fleet, client: CeleryEventBus, amqp_url: str
) -> None:
    """The broker hangs up meanwhile, and delivers it again."""
    await start(fleet, "solo", FLEET_URL=f"{amqp_url}?heartbeat=1")
    event = await publish(client, "blocking", seconds=30)
    await fleet.until_called("blocked", 1, event)
    await until_told(lambda: depth(amqp_url, "qt.sub.blocking") == 0)
    # Whatever came again came before this.
    later = [await publish(client, name, seconds=0) for name in ("quick", "blocking")]
    await fleet.until_called("blocked", 1, later[1])
    await fleet.until_called("quick", 1, later[0])
    assert len(fleet.calls("blocking", event)) == 1
