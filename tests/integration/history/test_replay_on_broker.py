"""Replays over a broker at full speed: killed, two at once, and to a queue that goes away."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from amqp.exceptions import NotFound

from qt_events import UnknownSubscriptionError
from qt_events.history import History, Replayed, ReplayTakenOverError
from qt_events.history.replaying.replay import BATCH
from qt_events.history.stores.sql_store import SqlStore
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.buses import MakeBus
from tests.support.channels import channel_to, depth
from tests.support.fleet.forks import ForkedProcess, ForkingKeeper, fork_server
from tests.support.lasting import lasting
from tests.support.stored import raw
from tests.support.waiting import until_told

PATIENCE = 100.0  # seconds
COUNT = 5_000
KILLS = 3
QUEUE, OTHER = "qt.sub.desk", "qt.sub.book"


async def ignore(_: Any) -> None:
    """Never called: nobody serves these subscriptions."""


@pytest.fixture
async def bus(make_bus: MakeBus) -> CeleryEventBus:
    """Bus whose subscriptions `desk` and `book` nobody serves."""
    made = make_bus()
    for name in ("desk", "book"):
        made.subscribe("deal.executed", ignore, name=name)
    await lasting(made)
    return made


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/events.db"
    with closing(SqlStore(url)) as store:
        store.append([raw(str(n), "deal.executed") for n in range(COUNT)])
    return url


@pytest.fixture
def history(store_url: str) -> Iterator[History]:
    made = History(store_url)
    yield made
    made.store.close()


@pytest.fixture
def keeper() -> Iterator[ForkingKeeper]:
    fork_server().preload("qt_events.history.stores.sql_store")
    opened = ForkingKeeper("qt-events-replay-")
    yield opened
    opened.close()


async def until_sent(url: str, least: int) -> None:
    await until_told(lambda: depth(url, QUEUE) >= least, PATIENCE, f"{least} were sent")


def emptied(url: str, queue: str = QUEUE) -> list[tuple[int, str]]:
    """Return numbers of all that waited, in order, and the replays that sent them."""
    found = list[tuple[int, str]]()
    with channel_to(url) as channel:
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            found.append((int(json.loads(message.body)["id"]), message.headers["qt-replay"]))
    return found


async def test_a_replay_killed_at_full_speed_repeats_one_batch_at_most(
    amqp_url: str, bus: CeleryEventBus, store_url: str, keeper: ForkingKeeper
) -> None:
    """SIGKILL at random points; in the end all have come, and nothing before its turn."""
    variables = os.environ | {"QT_BROKER_URL": amqp_url, "QT_HISTORY": store_url}
    begun, repeated, replay_id = [sys.executable, "-m", "qt_events", "replay", "desk"], 0, ""
    for number in range(KILLS + 1):
        command = [*begun, *(["--resume", replay_id] if replay_id else [])]
        process: ForkedProcess = keeper.spawn(f"run-{number}", command, variables)  # type: ignore[assignment]
        if number < KILLS:
            least = random.randrange(number * COUNT // KILLS + 1, (number + 1) * COUNT // KILLS)
            await until_sent(amqp_url, least)
            process.kill()
        await asyncio.to_thread(process.wait, PATIENCE)
        text = (keeper.folder / f"run-{number}.out").read_text()
        replay_id = text.split()[1]
        with closing(SqlStore(store_url)) as store:
            kept = store.bookmark(replay_id)
        assert kept is not None
        unknown = depth(amqp_url, QUEUE) - repeated - kept.sequence
        assert 0 <= unknown <= BATCH
        repeated += unknown
    numbers = [each for each, _ in await asyncio.to_thread(emptied, amqp_url)]
    assert list(dict.fromkeys(numbers)) == list(range(COUNT))
    assert len(numbers) == COUNT + repeated


async def test_two_replays_at_once_send_all_in_their_order_each(
    amqp_url: str, bus: CeleryEventBus, make_bus: MakeBus, store_url: str, history: History
) -> None:
    """To one subscription, and to two; from one program, and from two."""
    elsewhere = History(store_url)
    with closing(elsewhere.store):
        await asyncio.gather(
            history.replay(bus, "desk", replay_id="monday"),
            elsewhere.replay(make_bus(), "desk", replay_id="tuesday"),
            history.replay(bus, "book", replay_id="wednesday"),
        )
    found = await asyncio.to_thread(emptied, amqp_url)
    for name in ("monday", "tuesday"):
        assert [each for each, replay in found if replay == name] == list(range(COUNT))
    book = await asyncio.to_thread(emptied, amqp_url, OTHER)
    assert book == [(number, "wednesday") for number in range(COUNT)]


async def test_the_last_one_that_goes_on_with_a_replay_is_the_only_one(
    amqp_url: str, bus: CeleryEventBus, make_bus: MakeBus, store_url: str, history: History
) -> None:
    """The other ends with an error; no more than a batch is sent by both."""
    first = asyncio.create_task(history.replay(bus, "desk", replay_id="monday", rate=2_000))
    await until_sent(amqp_url, BATCH + 1)
    second = History(store_url)
    with closing(second.store):
        replayed: Replayed = await second.replay(make_bus(), "desk", replay_id="monday")
    with pytest.raises(ReplayTakenOverError, match="another process goes on") as raised:
        await first
    assert not hasattr(raised.value, "__notes__")
    assert (replayed.sent, replayed.sent_before > 0) == (COUNT, True)
    numbers = [each for each, _ in await asyncio.to_thread(emptied, amqp_url)]
    assert set(numbers) == set(range(COUNT))
    assert len(numbers) <= COUNT + BATCH


async def test_a_subscription_that_is_deleted_ends_its_replay_and_loses_nothing(
    amqp_url: str, bus: CeleryEventBus, make_bus: MakeBus, history: History
) -> None:
    """What went nowhere does not count as sent. Once the queue stands again, the replay goes on."""
    task = asyncio.create_task(history.replay(bus, "desk", replay_id="monday", rate=1_000))
    await until_sent(amqp_url, BATCH + 1)
    with channel_to(amqp_url) as channel:
        deleted = channel.queue_delete(QUEUE)
    with pytest.raises(UnknownSubscriptionError, match="'desk'"):
        await asyncio.wait_for(task, PATIENCE)
    with pytest.raises(NotFound):
        depth(amqp_url, QUEUE)
    again = make_bus()
    again.subscribe("deal.executed", ignore, name="desk")
    await lasting(again)
    replayed = await history.replay(again, "desk", replay_id="monday")
    assert replayed.sent == COUNT
    assert 0 < replayed.sent_before <= deleted
    numbers = [each for each, _ in await asyncio.to_thread(emptied, amqp_url)]
    assert numbers == list(range(replayed.sent_before, COUNT))
