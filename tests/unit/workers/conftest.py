"""A database of this test's own, a harness on it, and a second one, as another process would be."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.unit.workers.harness import Harness
from workers.store import Store


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The URL of a database with nothing in it."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    opened = Store(database)
    yield opened
    opened.dispose()


@pytest.fixture
async def harness(store: Store) -> AsyncIterator[Harness]:
    harness = Harness(store)
    async with harness.bus:
        yield harness
    assert await harness.bus.dead_letters.list() == []


@pytest.fixture
async def other(database: str) -> AsyncIterator[Harness]:
    """Another process: a bus and a connection of its own, the same database."""
    store = Store(database)
    harness = Harness(store)
    async with harness.bus:
        yield harness
    store.dispose()
    assert await harness.bus.dead_letters.list() == []
