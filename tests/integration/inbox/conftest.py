"""Shop: a database, by each kind of engine, and handlers that work in it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session

from qt_events import Event, EventBus, InMemoryEventBus, RetryPolicy
from qt_events.outbox import begin_immediately, current_inbox
from qt_events.outbox.tables import events as waiting

KINDS = ("sqlite", "sqlite-async", "postgresql", "postgresql-async")

metadata = sa.MetaData()
effects = sa.Table(
    "effects",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("event", sa.Text, nullable=False),
    # Each once, for statements that are to fail.
    sa.Column("word", sa.Text, unique=True),
)

#: Work of a handler in its session.
Do = Callable[[Session, Any], object]


def effect(session: Session, event: Any) -> None:
    """Leave one row for each event that was handled."""
    session.execute(sa.insert(effects).values(event=event.id))


AT_ONCE = RetryPolicy(initial=0, jitter=0)
#: Counters that say how fast the machine is.
TIMES = {"slow", "blocked"}


async def deliver(bus: InMemoryEventBus, *events: Event[Any]) -> dict[str, Any]:
    """Publish the events, one after the other has an outcome, and return the statistics."""
    async with bus:
        for event in events:
            await bus.publish(event)
            await bus.join()
    return bus.get_stats()


def row_of(bus: InMemoryEventBus, name: str = "ledger") -> dict[str, int]:
    found: dict[str, int] = bus.get_stats()["by_subscription"][name]
    return {key: count for key, count in found.items() if count and key not in TIMES}


class Shop:
    """A database with effects of handlers, and engines for it."""

    def __init__(self, kind: str, url: sa.URL) -> None:
        self.kind, self.url = kind, url
        self.is_async = kind.endswith("async")
        self.is_sqlite = kind.startswith("sqlite")
        self._made: list[sa.Engine | AsyncEngine] = []
        #: For looking at it.
        self.outside = self._kept(sa.create_engine(url))
        metadata.create_all(self.outside)
        self.engine = self.make_engine()

    def make_engine(self, **options: Any) -> Any:
        """Make an engine of this kind."""
        if not self.is_async:
            made: Any = sa.create_engine(self.url, **options)
        elif self.is_sqlite:
            made = create_async_engine(self.url.set(drivername="sqlite+aiosqlite"), **options)
        else:
            made = create_async_engine(self.url, **options)
        if self.is_sqlite:
            begin_immediately(made)
        return self._kept(made)

    def _kept(self, engine: Any) -> Any:
        self._made.append(engine)
        return engine

    async def close(self) -> None:
        for engine in self._made:
            if isinstance(engine, AsyncEngine):
                await engine.dispose()
            else:
                engine.dispose()

    # Handlers

    def handler(
        self, *steps: Do, bus: EventBus | None = None, publishes: str | None = None
    ) -> Callable[[Any], Any]:
        """Make a handler of the engine's kind, that takes these steps, and publishes at last."""
        calls = 0

        def do(session: Session, event: Any) -> None:
            for step in steps or (effect,):
                step(session, event)

        async def handle_async(event: Any) -> None:
            nonlocal calls
            calls += 1
            await current_inbox().session.run_sync(do, event)
            if bus is not None and publishes is not None:
                await bus.publish(Event(publishes))

        def handle(event: Any) -> None:
            nonlocal calls
            calls += 1
            do(current_inbox().session, event)
            if bus is not None and publishes is not None:
                bus.publish_sync(Event(publishes))

        made: Any = handle_async if self.is_async else handle
        made.calls = lambda: calls
        return made  # type: ignore[no-any-return]

    # What is there

    def effects(self) -> list[str]:
        """Return the ids of the events that have had an effect, once for each effect."""
        return self.all(sa.select(effects.c.event).order_by(effects.c.number))

    def notes(self) -> list[Any]:
        return self.all(sa.text("SELECT key FROM outbox_handled ORDER BY key"))

    def waiting(self) -> list[tuple[str, str | None]]:
        """Return type and cause of each event in the outbox."""
        with self.outside.connect() as connection:
            rows = connection.execute(sa.select(waiting.c.type, waiting.c.causation_id))
            return [(row.type, row.causation_id) for row in rows]

    def all(self, statement: Any) -> list[Any]:
        with self.outside.connect() as connection:
            return list(connection.scalars(statement))


@pytest.fixture(params=KINDS)
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    """Make a shop by each kind of engine."""
    kind: str = request.param
    if kind.startswith("sqlite"):
        url = sa.make_url(f"sqlite:///{tmp_path}/shop.db")
    else:
        given = request.getfixturevalue("postgres_url")
        url = sa.make_url(given).set(drivername="postgresql+psycopg")
    made = Shop(kind, url)
    yield made
    await made.close()
