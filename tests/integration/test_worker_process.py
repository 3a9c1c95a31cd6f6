"""`celery -A app worker`: a real process, driven by signals and by Celery's own remote control."""

import asyncio
import signal

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker.management import Management
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import RemoteControl, one_dead_letter, publish
from tests.support.waiting import until

pytestmark = pytest.mark.serves("gated")

POOLS = ["processes", "threads", "solo"]


# The asyncio pool


@pytest.mark.serves("on_loop", "in_thread")
async def test_a_worker_runs_the_asyncio_pool_unless_told_otherwise(
    fleet: Fleet, client: CeleryEventBus, remote: RemoteControl
) -> None:
    """Async handlers of one process share a thread, sync ones have others."""
    await fleet.start()
    event = await publish(client, "order.placed")
    (on_loop,) = await fleet.until_called("on_loop", event=event)
    (in_thread,) = await fleet.until_called("in_thread", event=event)
    assert on_loop.process == in_thread.process
    assert on_loop.thread != in_thread.thread
    assert "AsyncioPool" in (await remote.inspect("stats"))["pool"]["implementation"]


@pytest.mark.serves
async def test_a_worker_adds_nothing_but_celerys_control_and_event_exchanges(
    fleet: Fleet, client: CeleryEventBus, management: Management, vhost: str
) -> None:
    """Exchanges, queues and bindings are those of docs/wire.md, with Celery's own names."""
    await fleet.start("-E")
    await publish(client, "failing")
    await fleet.until_called("failing", 2)
    await one_dead_letter(client, "failing")
    exchanges = {
        each["name"] for each in management.exchanges(vhost) if not each["name"].startswith("amq.")
    } - {""}
    ours = {"qt.events", "qt.redeliver", "qt.dead", "qt.quarantine", "qt.lost", "qt.retry.100"}
    assert exchanges == ours | {"celery.pidbox", "celeryev"}
    (node,) = fleet.ready
    names = {
        "on_loop",
        "in_thread",
        "passing_on",
        "gated",
        "gated_in_thread",
        "failing",
        "beside_failing",
        "killing",
        "bystander",
        "unhurried",
    }
    queues = {each["name"] for each in management.queues(vhost)}
    assert queues - {"qt.register.lock"} == {f"qt.sub.{name}" for name in names} | {
        "qt.dead.failing",
        "qt.lost",
        "qt.register",
        "qt.retry.100",
        f"{node}.celery.pidbox",
    }
    to_subscriptions = [
        each for each in management.bindings(vhost) if each["destination"].startswith("qt.sub.")
    ]
    found = {
        (b["source"], b["destination"], b["routing_key"]) for b in to_subscriptions if b["source"]
    }
    types = {
        "on_loop": "order.placed",
        "in_thread": "order.placed",
        "gated_in_thread": "gated.thread",
    }
    types |= {"passing_on": "order.passed_on", "beside_failing": "failing", "bystander": "killing"}
    by_type = {("qt.events", f"qt.sub.{name}", types.get(name, name)) for name in names}
    assert found == by_type | {("qt.redeliver", f"qt.sub.{name}", name) for name in names}


async def test_an_event_whose_worker_is_killed_is_delivered_again(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """Acknowledged only after the handler: what a killed worker held goes to the next one."""
    first = await fleet.start()
    event = await publish(client, "gated")
    await fleet.until_called("gated.begun", event=event)
    first.send(signal.SIGKILL)
    await first.ended()
    await fleet.start()
    begun = await fleet.until_called("gated.begun", 2, event)
    fleet.open()
    await fleet.until_called("gated", event=event)
    assert len({call.process for call in begun}) == 2


@pytest.mark.serves("on_loop")
async def test_two_workers_of_one_host_get_names_of_their_own(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """Names of nodes are unique without -n: control queues are exclusive. A given name stays."""
    workers = [await fleet.start(), await fleet.start(), await fleet.start("-n", "chosen@%h")]
    assert len(set(fleet.ready)) == 3
    assert fleet.ready[2].startswith("chosen@")
    pings = await asyncio.to_thread(client.app.control.ping, timeout=3, limit=3)
    assert sorted(name for ping in pings for name in ping) == sorted(fleet.ready)
    assert [worker.process.poll() for worker in workers] == [None] * 3


# Stopping


async def test_sigterm_finishes_what_is_held_and_exits_with_0(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """A warm shutdown handles every event that was begun or waits here exactly once."""
    worker = await fleet.start(FLEET_PREFETCH="100")
    events = [await publish(client, "gated", n=n) for n in range(20)]
    await fleet.until_called("gated.begun", 2)
    worker.send(signal.SIGTERM)
    await until(lambda: "stopping: 20 events to finish" in worker.output)
    last = await publish(client, "gated", n=20)
    fleet.open()
    assert await worker.ended() == 0
    assert fleet.calls("gated", last) == []  # it took no more
    after = await fleet.start()
    await fleet.until_called("gated", event=last)
    handled = [call.event_id for call in fleet.calls("gated")]
    assert sorted(handled) == sorted(event.id for event in [*events, last])
    assert len(fleet.calls("gated.begun")) == len(handled)
    after.send(signal.SIGTERM)
    assert await after.ended() == 0


@pytest.mark.parametrize("handler", ["gated", "gated.thread"])
@pytest.mark.serves("gated", "gated_in_thread")
async def test_a_worker_gives_back_what_its_grace_was_too_short_for(
    handler: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """Events are given back after `grace` seconds. The process ends even if a thread does not."""
    worker = await fleet.start(FLEET_GRACE="0.5")
    event = await publish(client, handler)
    name = handler.replace(".", "_in_")
    await fleet.until_called(f"{name}.begun", event=event)
    worker.send(signal.SIGTERM)
    assert await worker.ended(15) == 0
    fleet.open()
    await fleet.start()
    await fleet.until_called(name, event=event)


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGTERM, signal.SIGQUIT), (signal.SIGINT, signal.SIGINT)],
    ids=["term-quit", "ctrl-c"],
)
@pytest.mark.parametrize("handler", ["gated", "gated.thread"])
@pytest.mark.serves("gated", "gated_in_thread")
async def test_a_second_signal_ends_a_worker_fast(
    first: signal.Signals,
    second: signal.Signals,
    handler: str,
    fleet: Fleet,
    client: CeleryEventBus,
) -> None:
    """The first waits for the handler, the second gives its event back: nothing is lost."""
    worker = await fleet.start()
    event = await publish(client, handler)
    name = handler.replace(".", "_in_")
    await fleet.until_called(f"{name}.begun", event=event)
    worker.send(first)
    await until(lambda: "Warm shutdown" in worker.output)
    assert worker.process.poll() is None
    worker.send(second)
    await worker.ended(10)
    fleet.open()
    await fleet.start()
    await fleet.until_called(name, event=event)


# Celery's own pools


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("on_loop", "in_thread", "failing", "beside_failing")
async def test_every_pool_handles_retries_and_buries(
    pool: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """An event is handled once. Retries reach only the failed subscription, then a dead letter."""
    worker = await fleet.start("-P", pool, "-c", "2")
    event = await publish(client, "order.placed")
    await fleet.until_called("on_loop", event=event)
    await fleet.until_called("in_thread", event=event)
    bad = await publish(client, "failing")
    record = await one_dead_letter(client, "failing")
    assert (record.event_id, record.reason, record.attempts) == (bad.id, "exhausted", 2)
    assert (record.exception_type, record.message) == ("OSError", "it never works")
    assert "in failing" in record.traceback
    assert len(fleet.calls("failing", bad)) == 2
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    assert len(fleet.calls("beside_failing", bad)) == 1
    assert len(fleet.calls("on_loop", event)) == 1
    in_process = {call.process == worker.pid for call in fleet.calls("on_loop")}
    assert in_process == {pool != "processes"}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("passing_on", "on_loop")
async def test_a_sync_handler_publishes_on_every_pool(
    pool: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """publish_sync works in a sync handler of any pool, and the event knows its cause."""
    await fleet.start("-P", pool, "-c", "2")
    cause = await publish(client, "order.passed_on")
    (call,) = await fleet.until_called("on_loop")
    assert call.causation_id == cause.id


async def test_a_broadcast_on_prefork_is_refused_by_name(fleet: Fleet) -> None:
    """No process of a prefork pool could own a broadcast's queue. The worker ends and names it."""
    worker = await fleet.start("-P", "processes", ready=False, FLEET_BROADCAST="1")
    assert await worker.ended() != 0
    assert "NotSupportedError: subscription 'everywhere' is a broadcast" in worker.output


@pytest.mark.serves("killing")
async def test_a_killed_child_gives_its_event_back(fleet: Fleet, client: CeleryEventBus) -> None:
    """Prefork: the event of a child that was killed is delivered again, to another child."""
    await fleet.start("-P", "processes", "-c", "1")
    event = await publish(client, "killing", kills=1)
    calls = await fleet.until_called("killing", 2, event)
    assert len({call.process for call in calls}) == 2
    assert await client.dead_letters.list("killing") == []


async def test_an_event_at_its_hard_time_limit_is_given_back(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """Prefork: Celery kills the child at the limit. The event has no outcome and comes again."""
    await fleet.start("-P", "processes", "-c", "1", "--time-limit", "1")
    event = await publish(client, "gated")
    await fleet.until_called("gated.begun", 2, event)
    fleet.open()
    await fleet.until_called("gated", event=event)
