"""A worker's command line: `--subscriptions`, `-P`, and `qt-events worker`, by processes."""

import asyncio
import signal
from typing import Any

import pytest

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker.management import Management
from qt_events.testing.ports import free_ports
from tests.support.channels import depth
from tests.support.fleet.fleet import Fleet
from tests.support.waiting import until, until_told

pytestmark = pytest.mark.serves("on_loop", "in_thread")

SHORT = ("-c", "from qt_events.cli import main; main()", "worker", "-A", "fleet")
POOLS = ["asyncio", "processes", "threads", "solo"]


async def publish(client: CeleryEventBus, event_type: str) -> Event[Any]:
    event = Event(event_type, None, {})
    await client.publish(event)
    return event


async def inspected(client: CeleryEventBus, command: str) -> dict[str, Any]:
    """Return the answers of the workers that are ready, by node name."""
    return await asyncio.to_thread(
        lambda: getattr(client.app.control.inspect(timeout=3, limit=1), command)() or {}
    )


# --subscriptions


@pytest.mark.parametrize("pool", POOLS)
async def test_a_worker_serves_the_chosen_subscriptions_and_no_other(
    pool: str, fleet: Fleet, client: CeleryEventBus, amqp_url: str
) -> None:
    """The others' queues stand and collect, until a worker comes that serves them."""
    await fleet.start("-P", pool, "--subscriptions", "on_loop")
    event = await publish(client, "order.placed")
    await fleet.until_called("on_loop", event=event)
    await until_told(lambda: depth(amqp_url, "qt.sub.in_thread") == 1)
    (queues,) = (await inspected(client, "active_queues")).values()
    assert [each["name"] for each in queues] == ["qt.sub.on_loop"]
    assert fleet.calls("in_thread") == []
    await fleet.start("-P", pool, "--subscriptions", "in_*")
    await fleet.until_called("in_thread", event=event)
    assert len(fleet.calls("on_loop", event)) == 1


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("passing_on", "on_loop", "in_thread")
async def test_what_a_part_publishes_waits_for_the_other_parts(
    pool: str, fleet: Fleet, client: CeleryEventBus, amqp_url: str
) -> None:
    """A worker that serves a part declares the whole: on a new broker nothing is lost."""
    await fleet.start("-P", pool, "--subscriptions", "passing_on")
    await publish(client, "order.passed_on")
    for name in ("on_loop", "in_thread"):
        await until_told(lambda name=name: depth(amqp_url, f"qt.sub.{name}") == 1)  # type: ignore[misc]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("passing_on", "on_loop")
async def test_a_broadcast_that_is_not_chosen_has_no_queue_here(
    pool: str, fleet: Fleet, client: CeleryEventBus, management: Management, vhost: str
) -> None:
    """The queue would have no reader; and prefork, which serves no broadcast, serves the rest."""
    await fleet.start("-P", pool, "--subscriptions", "passing_on,on_loop", FLEET_BROADCAST="1")
    await publish(client, "order.passed_on")
    # By then the worker has published too
    await fleet.until_called("on_loop")
    assert [each["name"] for each in management.queues(vhost) if "everywhere" in each["name"]] == []


@pytest.mark.serves("on_loop", "in_thread", "gated", "gated_in_thread")
async def test_a_part_may_be_named_by_the_environment(fleet: Fleet, client: CeleryEventBus) -> None:
    """QT_SUBSCRIPTIONS, for compose files and service managers."""
    await fleet.start(QT_SUBSCRIPTIONS="on_loop,gated_*")
    (queues,) = (await inspected(client, "active_queues")).values()
    served = {each["name"] for each in queues if each["name"].startswith("qt.sub.")}
    assert served == {"qt.sub.on_loop", "qt.sub.gated_in_thread"}


@pytest.mark.parametrize(
    ("options", "environment", "text"),
    [
        (
            ["--subscriptions", "on_lop"],
            {},
            "'on_lop' fits no subscription. Did you mean 'on_loop'? There are: ",
        ),
        (["--subscriptions", "on_loop,nobody"], {}, "'nobody' fits no subscription."),
        (["--subscriptions", ""], {}, "'' names no subscription"),
        ([], {"QT_SUBSCRIPTIONS": "nobody.*"}, "'nobody.*' fits no subscription."),
        (
            ["--subscriptions", "on_loop", "-Q", "qt.sub.gated"],
            {},
            "--subscriptions and -Q both say what to serve",
        ),
        (["-P", "prefork"], {"FLEET_POOL": "threads"}, "write -P processes"),
        (["--pool=prefork"], {"FLEET_POOL": "threads"}, "write -P processes"),
        (
            [],
            {"FLEET_POOL": "threads", "CELERY_WORKER_POOL": "prefork"},
            "write -P processes",
        ),
        (["-P", "asynchronous"], {}, "there is no pool 'asynchronous': write asyncio, processes"),
    ],
)
@pytest.mark.serves("on_loop", "gated")
async def test_what_cannot_be_meant_is_wrong_usage(
    options: list[str], environment: dict[str, str], text: str, fleet: Fleet
) -> None:
    """One sentence says what to write; no traceback, exit code 2, and nothing is consumed."""
    worker = await fleet.start(*options, ready=False, **environment)
    assert await worker.ended() == 2
    assert text in worker.output
    assert "Traceback" not in worker.output


# qt-events worker


@pytest.mark.parametrize(
    ("pool", "implementation"),
    [("asyncio", "AsyncioPool"), ("prefork", "prefork"), ("threads", "thread"), ("solo", "solo")],
)
async def test_the_short_form_runs_the_pool_of_that_name(
    pool: str, implementation: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """`prefork` is prefork; a part is served; SIGTERM ends it with 0."""
    worker = await fleet.start(
        "--pool", pool, "-c", "2", "--subscriptions", "on_loop", program=SHORT
    )
    event = await publish(client, "order.placed")
    await fleet.until_called("on_loop", event=event)
    (stats,) = (await inspected(client, "stats")).values()
    assert implementation in stats["pool"]["implementation"]
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    assert fleet.calls("in_thread") == []


@pytest.mark.serves("on_loop")
async def test_the_short_form_hands_celerys_other_options_on(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """Options after `--` are passed to Celery."""
    await fleet.start(
        "--pool", "prefork", "-E", "--", "--autoscale", "3,1", "-n", "named@%h", program=SHORT
    )
    ((name, stats),) = (await inspected(client, "stats")).items()
    assert name.startswith("named@")
    assert stats["autoscaler"]["max"] == 3


@pytest.mark.serves("on_loop")
async def test_ctrl_c_ends_the_short_form_with_130(fleet: Fleet) -> None:
    """A warm shutdown, told apart from one that somebody ordered, as with every command of ours."""
    worker = await fleet.start(program=SHORT)
    worker.send(signal.SIGINT)
    assert await worker.ended() == 130
    assert "Warm shutdown" in worker.output
    assert "Traceback" not in worker.output


@pytest.mark.serves("on_loop")
async def test_workers_of_both_spellings_have_names_of_their_own(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """Several on one host, none of them named."""
    workers = [
        await fleet.start(),
        await fleet.start(program=SHORT),
        await fleet.start(program=SHORT),
    ]
    pings = await asyncio.to_thread(client.app.control.ping, timeout=3, limit=3)
    assert len({name for ping in pings for name in ping}) == 3
    assert [worker.process.poll() for worker in workers] == [None] * 3


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["-A", "no_such_module"], "there is no module 'no_such_module'"),
        (["-A", "json"], "there is no Celery app in 'json'"),
        (["--subscriptions", "nobody"], "'nobody' fits no subscription."),
        (["--pool", "asynchronous"], "'asyncio', 'prefork', 'threads', 'solo'"),
    ],
)
async def test_wrong_usage_of_the_short_form_ends_with_2(
    options: list[str], text: str, fleet: Fleet
) -> None:
    """Named, without a traceback."""
    worker = await fleet.start(*options, ready=False, program=SHORT, COLUMNS="300")
    assert await worker.ended() == 2
    assert text in worker.output
    assert "Traceback" not in worker.output


@pytest.mark.serves("on_loop")
async def test_a_worker_without_a_broker_says_so_and_ends_when_asked(fleet: Fleet) -> None:
    """The worker goes on trying, since brokers come back; SIGTERM ends it with 0 all the same."""
    worker = await fleet.start(
        ready=False, program=SHORT, FLEET_URL=f"amqp://guest:secret@127.0.0.1:{free_ports(1)[0]}//"
    )
    await until(lambda: worker.output.count("worker: no connection to ") > 1)
    assert "secret" not in worker.output
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
