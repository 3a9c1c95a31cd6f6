"""An app with tasks, results and a bus: Celery does all for its tasks that it did without a bus."""

import asyncio
import re
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import celery
import kombu
import pytest
from celery import chain, chord, group
from celery.exceptions import NotRegistered

from qt_events import CeleryEventBus, Event
from qt_events.rabbitmq.worker import unknown_tasks
from qt_events.testing.broker.management import Management
from tests.support.channels import depth
from tests.support.fleet.fleet import Fleet, StartedWorker
from tests.support.waiting import PATIENCE, until, until_told

MANY, SIZE = 200, 10_000  # tasks, and bytes of each
PROGRAM = ("-m", "celery", "-A", "tasks_app", "worker")


class Tasks:
    """Caller of the app's tasks, with the same result backend as its workers."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self._fleet, self._backend = fleet, f"file://{folder}"
        self.app = celery.Celery(
            "caller", broker=fleet.url, backend=self._backend, set_as_current=False
        )
        self.app.conf.task_default_queue_type = "classic"

    async def start(self, *options: str, **environment: Any) -> StartedWorker:
        return await self._fleet.start(
            *options, program=PROGRAM, TASKS_BACKEND=self._backend, **environment
        )

    def signature(self, name: str, *args: Any) -> Any:
        return self.app.signature(name, args=args)

    async def result(self, send: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(lambda: send().get(timeout=PATIENCE))


@pytest.fixture
def tasks(fleet: Fleet, tmp_path: Path) -> Tasks:
    folder = tmp_path / "results"
    folder.mkdir()
    return Tasks(fleet, folder)


@pytest.mark.parametrize("pool", [(), ("-P", "asyncio"), ("-P", "threads")])
async def test_tasks_chains_groups_and_chords_have_their_results(
    pool: tuple[str, ...], tasks: Tasks, fleet: Fleet, client: CeleryEventBus
) -> None:
    """And the events are handled beside them. Without -P the pool is the one that Celery has."""
    worker = await tasks.start("-c", "2", *pool)
    add, total = partial(tasks.signature, "add"), tasks.signature("total")
    assert await tasks.result(add(2, 3).delay) == 5
    assert await tasks.result(chain(add(1, 2), add(3), add(4)).delay) == 10
    assert await tasks.result(group(add(n, n) for n in range(4)).delay) == [0, 2, 4, 6]
    assert await tasks.result(chord([add(n, n) for n in range(4)], total).delay) == 12
    event: Event[Any] = Event("happened")
    await client.publish(event)
    await fleet.until_called("heard", event=event)
    stats = await asyncio.to_thread(tasks.app.control.inspect(timeout=PATIENCE, limit=1).stats)
    ((name, answer),) = stats.items()
    assert name == fleet.ready[0]
    if not pool:
        assert "prefork" in answer["pool"]["implementation"]
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0


# A queue that apps share


async def test_a_task_of_another_app_is_left_for_a_worker_that_knows_it(
    tasks: Tasks, fleet: Fleet
) -> None:
    """A service that shares the queue `celery` neither discards it nor says that it failed."""
    stranger = await tasks.start("-c", "1")
    sent = [tasks.signature("others.task").delay() for _ in range(20)]
    # More unknown tasks than the worker may hold do not hold up those that it knows.
    assert await tasks.result(tasks.signature("add", 2, 3).delay) == 5
    told = partial(_times, stranger, "others.task")
    await until(lambda: told() >= 2 * len(sent), what="each came back, or some did often")
    await tasks.start("-c", "1", TASKS_APP="other", TASKS_MORE="others.task")
    await until(lambda: any(each.ready() for each in sent), what="the other worker has one")
    stranger.send(signal.SIGTERM)
    for each in sent:
        answer = await asyncio.to_thread(each.get, timeout=PATIENCE)
        assert answer == "done by the one that knows it"
    assert "is not known to this worker, of the app 'tasks_app'" in stranger.output
    assert "of gen" in stranger.output  # who sent it


def _times(worker: StartedWorker, text: str) -> int:
    return worker.output.count(text)


async def test_a_task_that_nobody_knows_is_looked_at_with_growing_pauses(
    tasks: Tasks, management: Management, vhost: str
) -> None:
    """No hot loop: the broker keeps it meanwhile, and nothing is held in the worker."""
    worker = await tasks.start("-c", "1")
    tasks.signature("nobody.knows").delay()
    await until(lambda: worker.output.count("nobody.knows") >= 5, what="it came back four times")
    pauses = re.findall(r"for one that knows it, for ([.\d]+) s", worker.output)
    assert pauses[:5] == ["0.5", "0.5", "1", "1", "2"]
    await until(
        lambda: any(
            each["name"] == "qt.retry.3200" and each.get("messages")
            for each in management.queues(vhost)
        ),
        what="it waits on the broker",
    )


@pytest.mark.parametrize("limit", ["MOST", "MOST_BYTES"])
async def test_unknown_tasks_are_held_within_bounds(
    limit: str,
    vhost: str,
    management: Management,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In number, also where none can be put aside; and in bytes, before it is. None is lost."""
    amqp_url = management.vhost_url(vhost)
    monkeypatch.setattr(unknown_tasks, limit, 20 if limit == "MOST" else 20 * SIZE)
    app = celery.Celery("bounded", broker=amqp_url, set_as_current=False)
    ways, names = kombu.Exchange("ways", "direct"), ["first"]
    if limit == "MOST":
        # By which of them one has come cannot be told: it is held for half a minute.
        names.append("second")
    app.conf.task_queues = [kombu.Queue(name, ways, "way") for name in names]

    @app.task(name="known", shared=False)
    def known() -> None:
        pass

    # Before RabbitMQ 4 nothing else limits what comes beside classic queues.
    bus = CeleryEventBus(app=app, service="bounded", queue_type="classic")
    with app.connection_for_write() as connection:
        for queue in app.conf.task_queues:
            queue(connection.default_channel).declare()
        for _ in range(MANY):
            app.signature("unknown", args=("x" * SIZE,)).apply_async(
                exchange=ways, routing_key="way", connection=connection
            )
    running = asyncio.create_task(bus.run_forever())
    await until(lambda: "no more tasks are taken" in caplog.text)
    sent = MANY * len(names)
    if limit == "MOST":
        await until_told(lambda: sum(depth(amqp_url, name) for name in names) == sent - 20)
    else:
        await until(lambda: caplog.text.count("no more tasks are taken") > 1, what="it goes on")
    bus.stop()
    await running
    bus.close()
    await until_told(
        lambda: sum(each.get("messages", 0) for each in management.queues(vhost)) == sent,
        what="all are there",
    )


async def test_a_task_that_nobody_knows_may_expire(tasks: Tasks) -> None:
    """As its sender asked: `expires` holds for a worker that does not know the task, too."""
    worker = await tasks.start("-c", "1")
    sent = tasks.signature("nobody.knows").apply_async(expires=2)
    with pytest.raises(NotRegistered):
        await asyncio.to_thread(sent.get, timeout=PATIENCE)
    assert "nobody.knows" in worker.output


async def test_a_worker_without_tasks_of_its_own_leaves_the_shared_queue_alone(
    tasks: Tasks, client: CeleryEventBus, fleet: Fleet
) -> None:
    """Celery's built-in tasks are in every app."""
    await tasks.start(TASKS_APP="mere", TASKS_NONE="1")
    sent = tasks.signature("add", 2, 3).delay()
    await client.publish(event := Event("happened"))
    await fleet.until_called("heard", event=event)
    (queues,) = (
        await asyncio.to_thread(tasks.app.control.inspect(timeout=PATIENCE, limit=1).active_queues)
    ).values()
    assert [each["name"] for each in queues] == ["qt.sub.mere.heard"]
    await tasks.start("-c", "1")
    assert await asyncio.to_thread(sent.get, timeout=PATIENCE) == 5


async def test_remote_control_of_tasks_is_celerys(tasks: Tasks) -> None:
    """A queue may be added while the worker runs, and tasks be revoked by their stamps."""
    await tasks.start("-c", "1")
    control = tasks.app.control
    ask: dict[str, Any] = {"reply": True, "timeout": PATIENCE, "limit": 1}
    (added,) = await asyncio.to_thread(control.add_consumer, "more.work", **ask)
    assert "ok" in next(iter(added.values())), added
    sent = tasks.signature("add", 2, 3).apply_async(queue="more.work")
    assert await asyncio.to_thread(sent.get, timeout=PATIENCE) == 5
    stamps = {"by": "nobody"}
    (revoked,) = await asyncio.to_thread(control.revoke_by_stamped_headers, stamps, **ask)
    assert "ok" in next(iter(revoked.values())), revoked


async def test_a_countdown_works_on_an_apps_own_quorum_queue(
    tasks: Tasks, management: Management, vhost: str
) -> None:
    """Celery delays such tasks on the broker, and no subscription hears of it."""
    types = {"TASKS_QUEUE_TYPE": "quorum", "TASKS_EXCHANGE_TYPE": "topic"}
    await tasks.start("-c", "1", **types)
    tasks.app.conf.update(task_default_queue_type="quorum", task_default_exchange_type="topic")
    sent = tasks.signature("add", 2, 3).apply_async(countdown=1)
    assert await asyncio.to_thread(sent.get, timeout=PATIENCE) == 5
    delayed = [
        each["destination"]
        for each in management.bindings(vhost)
        if each["source"] == "celery_delayed_delivery"
    ]
    assert not [each for each in delayed if each.startswith("qt.")]
    assert "celery" in delayed
