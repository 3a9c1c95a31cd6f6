"""A shop with a table of orders and an outbox, for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from qt_events import Event, InMemoryEventBus
from qt_events.outbox import Outbox, begin_immediately
from qt_events.outbox.tables import events

PLACED = "order.placed"


class Base(DeclarativeBase):
    """Tables of the shop."""


class Order(Base):
    """A row that an event is about."""

    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)


def sync_url(url: str) -> str:
    """Return the URL for an Engine."""
    return url.replace("postgresql://", "postgresql+psycopg://")


def async_url(url: str) -> str:
    """Return the URL for an AsyncEngine."""
    return sync_url(url).replace("sqlite://", "sqlite+aiosqlite://")


def prepared(engine: sa.Engine) -> sa.Engine:
    """Make the tables of the shop and of its outbox."""
    if engine.dialect.name == "sqlite":
        begin_immediately(engine)
    Base.metadata.create_all(engine)
    Outbox(engine).open_sync()
    return engine


def placed(id: str, **attributes: Any) -> Event[Any]:
    """Return the event of an order; the order's id is its own id, too."""
    return Event(PLACED, None, {"order": id}, id=id, **attributes)


def orders(engine: sa.Engine) -> list[str]:
    """Return the ids of the orders that were committed."""
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(Order.id).order_by(Order.id)))


def rows(engine: sa.Engine, *states: int) -> list[str]:
    """Return the ids of events in the outbox, in their order; all, or those in these states."""
    chosen = sa.select(events.c.id).order_by(events.c.sequence)
    if states:
        chosen = chosen.where(events.c.state.in_(states))
    with engine.connect() as connection:
        return list(connection.scalars(chosen))


class Heard:
    """A handler that keeps the ids of what it was given."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.events: list[Event[Any]] = []
        self._more = asyncio.Event()

    async def __call__(self, event: Event[Any]) -> None:
        self.ids.append(event.id)
        self.events.append(event)
        self._more.set()

    async def until(self, number: int) -> list[str]:
        """Return the ids once there are so many."""
        async with asyncio.timeout(60):
            while len(self.ids) < number:
                self._more.clear()
                await self._more.wait()
        return self.ids


@asynccontextmanager
async def hearing(pattern: str = "#") -> AsyncIterator[tuple[InMemoryEventBus, Heard]]:
    """Run a bus in memory with one subscription."""
    bus, heard = InMemoryEventBus(), Heard()
    bus.subscribe(pattern, heard, name="heard")
    async with bus:
        yield bus, heard
