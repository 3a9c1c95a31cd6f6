"""`qt-events ... | head -1` on a real broker: in silence, and what a command is to do is done."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from amqp.exceptions import NotFound

from qt_events.history.stores.sql_store import SqlStore
from qt_events.testing.broker import Broker
from tests.support.buses import MakeBus
from tests.support.channels import depth
from tests.support.lasting import lasting
from tests.support.stored import many

COUNT = 700
PATIENCE = 100.0  # seconds


async def ignore(_: Any) -> None:
    """Never called: nobody serves this subscription."""


@pytest.fixture
def closed() -> Iterator[int]:
    """Pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


async def test_a_closed_pipe_is_no_error_of_any_command(
    amqp_url: str, broker: Broker, make_bus: MakeBus, tmp_path: Path, closed: int
) -> None:
    """A table and a list end there; a replay and a removal go on to their end."""
    bus, store_url = make_bus(), f"sqlite:///{tmp_path}/events.db"
    bus.subscribe("#", ignore, name="desk")
    await lasting(bus)
    with closing(SqlStore(store_url)) as store:
        store.append(many(COUNT))
    variables = os.environ | {
        "QT_BROKER_URL": amqp_url,
        "QT_MANAGEMENT_URL": broker.management_url,
        "QT_HISTORY": store_url,
    }

    async def run(*words: str) -> None:
        def ended() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                [sys.executable, "-m", "qt_events", *words],
                env=variables, stdout=closed, stderr=subprocess.PIPE, timeout=PATIENCE, check=False,
            )  # fmt: skip

        found = await asyncio.to_thread(ended)
        said = [each for each in found.stderr.splitlines() if not each.startswith(b"replay ")]
        assert (found.returncode, said) == (0, []), words

    await run("topology", "show")
    await run("topology", "show", "--json")
    await run("dead-letters", "list", "-s", "desk")
    await run("dead-letters", "export", "-s", "desk")
    await run("history", "list", "--limit", str(COUNT))
    await run("replay", "desk")
    assert depth(amqp_url, "qt.sub.desk") == COUNT
    await run("topology", "remove", "desk", "--yes")
    with pytest.raises(NotFound):
        depth(amqp_url, "qt.sub.desk")
