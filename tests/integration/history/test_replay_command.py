"""`qt-events replay` on a real broker: killed, interrupted, gone on with, refused."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from qt_events.history.store import Bookmark
from qt_events.history.stores.sql_store import SqlStore
from tests.support.buses import MakeBus
from tests.support.channels import channel_to, depth
from tests.support.fleet.commands import run_command
from tests.support.fleet.forks import ForkingKeeper
from tests.support.lasting import lasting
from tests.support.stored import raw
from tests.support.waiting import until_told

PATIENCE = 100.0  # seconds
COUNT = 600
#: At this rate a batch is a tenth of a second's worth.
RATE, BATCH = 300, 30
QUEUE = "qt.sub.desk"


async def ignore(_: Any) -> None:
    """Never called: nobody serves these subscriptions."""


@pytest.fixture
async def url(amqp_url: str, make_bus: MakeBus) -> str:
    """URL of a vhost where `desk` and `watch` are declared, which nobody serves."""
    bus = make_bus()
    bus.listen_to_fates(ignore, name="watch")
    bus.subscribe("deal.executed", ignore, name="desk")
    await lasting(bus)
    return amqp_url


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/events.db"
    with closing(SqlStore(url)) as store:
        store.append([raw(str(n), "deal.executed") for n in range(COUNT)])
        store.append([raw("cancelled", "deal.cancelled"), raw("price", "price.updated")])
    return url


@pytest.fixture
def keeper() -> Iterator[ForkingKeeper]:
    opened = ForkingKeeper("qt-events-replay-")
    yield opened
    opened.close()


def emptied(url: str) -> tuple[list[str], set[object]]:
    """Return ids of all that waited, in order, and their marks."""
    ids, marks = [], set[object]()
    with channel_to(url) as channel:
        while (found := channel.basic_get(QUEUE, no_ack=True)) is not None:
            ids.append(json.loads(found.body)["id"])
            marks.add(found.headers["qt-replay"])
    return ids, marks


async def test_a_killed_replay_goes_on_and_one_batch_comes_twice_at_most(
    url: str, store_url: str, keeper: ForkingKeeper
) -> None:
    """Ctrl-C repeats none, and says how to go on; a finished one sends nothing."""
    variables = {"QT_BROKER_URL": url, "QT_HISTORY": store_url}
    command = [sys.executable, "-m", "qt_events", "replay", "desk", "--rate", str(RATE)]

    async def ended(name: str, number: signal.Signals, least: int, *more: str) -> tuple[int, str]:
        process = keeper.spawn(name, [*command, *more], os.environ | variables)
        await until_told(lambda: depth(url, QUEUE) >= least, PATIENCE, f"{least} were sent")
        process.send_signal(number)
        code = await asyncio.to_thread(process.wait, PATIENCE)
        return code, (keeper.folder / f"{name}.out").read_text()

    code, text = await ended("killed", signal.SIGKILL, COUNT // 4, "--type", "deal.#")
    assert code == -signal.SIGKILL, text
    replay_id = text.split()[1]
    assert text.startswith(f"replay {replay_id} to desk\n")
    with closing(SqlStore(store_url)) as store:
        bookmark = store.bookmark(replay_id)
    assert isinstance(bookmark, Bookmark)
    assert 0 <= depth(url, QUEUE) - bookmark.sequence <= BATCH

    code, text = await ended("interrupted", signal.SIGINT, COUNT // 2, "--resume", replay_id)
    assert code == 130, text
    assert f"events were sent; `qt-events replay desk --resume {replay_id}` goes on" in text

    resumed = ("replay", "desk", "--resume", replay_id)
    with closing(SqlStore(store_url)) as store:
        left = COUNT - int(json.loads(store.bookmark(replay_id).request)["sent"])  # type: ignore[union-attr]
    code, out, _ = await asyncio.to_thread(run_command, *resumed, "--dry-run", **variables)
    assert (code, out.splitlines()[0]) == (0, f"{left} events would be sent to desk")
    code, out, _ = await asyncio.to_thread(run_command, *resumed, "--json", **variables)
    assert code == 0
    assert json.loads(out).items() >= {"sent": COUNT, "unheard": 1, "dry_run": False}.items()
    ids, marks = await asyncio.to_thread(emptied, url)
    assert list(dict.fromkeys(ids)) == [str(n) for n in range(COUNT)]
    assert len(ids) - COUNT <= BATCH
    assert marks == {replay_id}

    code, out, _ = await asyncio.to_thread(run_command, *resumed, **variables)
    assert (code, depth(url, QUEUE)) == (0, 0)
    assert f"the replay {replay_id} had sent all of its {COUNT} events" in out


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["nobody"], 1, "there is no subscription 'nobody'"),
    (["desk", "--type", "price.#"], 2, "'desk' does not hear 'price.#', but 'deal.executed'"),
    (["desk", "--resume", "x"], 1, "no replay 'x' was begun"),
    (["desk", "--resume", "x", "--type", "deal.#"], 2, "leave the other options out"),
    (["watch"], 2, "'watch' listens to fates"),
    (["watch", "--even-unheard"], 2, "'watch' listens to fates"),
    (["desk", "--where", "="], 2, "--where"),
    (["desk", "--rate", "0"], 2, "rate"),
])  # fmt: skip
async def test_what_cannot_be_replayed_is_refused_by_name(
    url: str, store_url: str, arguments: list[str], code: int, words: str
) -> None:
    variables = {"QT_BROKER_URL": url, "QT_HISTORY": store_url}
    found = await asyncio.to_thread(run_command, "replay", *arguments, **variables)
    assert found[0] == code
    assert words in found[2]
    assert depth(url, QUEUE) == 0


async def test_a_broadcast_is_refused_by_name(url: str, store_url: str, make_bus: MakeBus) -> None:
    bus = make_bus()
    bus.subscribe("deal.#", ignore, name="screens", broadcast=True)
    variables = {"QT_BROKER_URL": url, "QT_HISTORY": store_url}
    async with bus:
        code, _, text = await asyncio.to_thread(run_command, "replay", "screens", **variables)
    assert code == 1
    assert "a broadcast" in text


async def test_a_dry_run_sends_nothing_and_all_are_sent_if_asked_for(
    url: str, store_url: str
) -> None:
    variables = {"QT_BROKER_URL": url, "QT_HISTORY": store_url}
    # At the rate of a real one it would take ten minutes.
    dry = ("replay", "desk", "--dry-run", "--rate", "1")
    found = await asyncio.to_thread(run_command, *dry, **variables)
    assert found[0] == 0
    assert found[1].splitlines() == [
        f"{COUNT} events would be sent to desk",
        "2 left out: it does not hear them (--even-unheard)",
    ]
    assert depth(url, QUEUE) == 0
    price = ("replay", "desk", "--type", "price.#", "--even-unheard")
    code, out, _ = await asyncio.to_thread(run_command, *price, **variables)
    assert (code, depth(url, QUEUE)) == (0, 1)
    assert out.startswith("1 events sent to desk; replay ")
