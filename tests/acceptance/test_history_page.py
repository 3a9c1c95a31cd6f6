"""docs/history.md is true: each of its commands does something with a history."""

import asyncio
import re
import shlex
from contextlib import closing

import pytest

import workers.__main__
from qt_events import CeleryEventBus, Event
from qt_events.history import EventFilter
from qt_events.history.stores.sql_store import SqlStore
from tests.support.fleet.commands import run_command
from tests.support.lasting import lasting
from tests.support.pages import ROOT, commands

PAGE = ROOT / "docs" / "history.md"
LINES = commands(PAGE)
ASKING = [line for line in LINES if re.match(r"qt-events history (?!record|upgrade)", line)]
REPLAYING = [line for line in LINES if line.startswith("qt-events replay ")]
#: Places for a reader's own id, of an event and of a replay.
EVENT, REPLAY = "ID", "20261130-224105-5f3a9c"
#: By other tests: the recorder and both reruns.
ELSEWHERE = ("qt-events history record", "qt-events rerun ", "make run ", "export QT_")


def printed(line: str, **variables: str) -> str:
    """Return what a command of ours prints; its exit code is 0."""
    ended = run_command(*shlex.split(line)[1:], **variables)
    assert ended.status == 0, ended.err
    return ended.out + ended.err


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Record two days; return the URL of their history."""
    file = tmp_path_factory.mktemp("history") / "run.db"
    with pytest.raises(SystemExit) as end:
        workers.__main__.main(["run", "--days", "2", "--history", str(file), "--json"])
    assert end.value.code == 0
    return f"sqlite:///{file}"


def test_every_command_is_tested() -> None:
    """A line of another kind needs a test here."""
    others = [line for line in LINES if line.startswith(ELSEWHERE)]
    assert all((ASKING, REPLAYING, others))
    assert sorted(ASKING + REPLAYING + others) == sorted(LINES)


@pytest.mark.parametrize("line", [line for line in ASKING if "cb79b168" not in line])
def test_asking(line: str, recorded: str) -> None:
    """It ends well and says something. Trades are asked for by test_readme.py."""
    with closing(SqlStore(recorded)) as store:
        event = store.page(EventFilter(pattern="market.closed"), limit=1)[0].event
    assert printed(re.sub(rf"\b{EVENT}\b", event.id, line), QT_HISTORY=recorded)


async def test_replaying(recorded: str, amqp_url: str) -> None:
    """Each line sends to the page's subscription; the last one goes on with the one before."""

    async def on_trade(event: Event) -> None:
        """Never called: nobody serves it."""

    with closing(CeleryEventBus(amqp_url)) as bus:
        bus.subscribe("trade.#", on_trade, name="risk_guard")
        await lasting(bus)
    said = words = ""
    for line in REPLAYING:
        begun = re.findall(r"^replay (\S+) to", said, re.MULTILINE)
        words = line.replace(REPLAY, begun[0] if begun else REPLAY)
        said = await asyncio.to_thread(printed, words, QT_HISTORY=recorded, QT_BROKER_URL=amqp_url)
        assert "event" in said
    assert REPLAY not in words
