"""Fixtures: an empty database, a harness on it, and a second one as another process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.unit.workers.harness import Harness
from workers.store import Store


@pytest.fixture
def database(tmp_path: Path) -> str:
    """URL of an empty database."""
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
    """Another process: a bus and a connection of its own on the same database."""
    store = Store(database)
    harness = Harness(store)
    async with harness.bus:
        yield harness
    store.dispose()
    assert await harness.bus.dead_letters.list() == []
