"""Databases of both kinds, each with a table of a shop's orders, and an outbox."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from qt_events.outbox import Outbox, begin_immediately
from tests.support.shop import async_url, prepared, sync_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database that only this test uses."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shop.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    """Return a shop's engine, with its table and those of an outbox."""
    made = prepared(sa.create_engine(sync_url(url)))
    yield made
    made.dispose()


@pytest.fixture
def postgres_engine(postgres_url: str) -> Iterator[sa.Engine]:
    """Return one for PostgreSQL alone."""
    made = prepared(sa.create_engine(sync_url(postgres_url)))
    yield made
    made.dispose()


@pytest.fixture
def file_engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Return one for SQLite alone."""
    made = prepared(sa.create_engine(f"sqlite:///{tmp_path}/file.db"))
    yield made
    made.dispose()


@pytest_asyncio.fixture
async def async_engine(url: str, engine: sa.Engine) -> AsyncIterator[AsyncEngine]:
    """Return an async engine for the same database."""
    made = create_async_engine(async_url(url))
    if made.dialect.name == "sqlite":
        begin_immediately(made)
    yield made
    await made.dispose()


@pytest.fixture
def outbox(engine: sa.Engine) -> Outbox:
    return Outbox(engine)
