"""Adding: rows and events are committed together, or not at all."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from qt_events import Event, InvalidEventError, InvalidPayloadError
from qt_events.events.current import handled
from qt_events.events.raw import as_event
from qt_events.outbox import (
    InvalidOutboxUrlError,
    NotAwaitedError,
    NoTransactionError,
    Outbox,
    OutboxSchemaError,
    SqliteBeginError,
    WrongEngineError,
    begin_immediately,
    metadata,
)
from qt_events.outbox.rows import WAITING_COLUMNS, Waiting
from tests.support.shop import Order, async_url, orders, placed, rows, sync_url


class Stop(Exception):
    """Ends a transaction in the middle."""


# Sync


def test_a_session_commits_both(engine: sa.Engine, outbox: Outbox) -> None:
    with Session(engine) as session, session.begin():
        session.add(Order(id="1"))
        assert outbox.add(session, placed("1")).id == "1"
    assert orders(engine) == rows(engine) == ["1"]


def test_a_session_rolls_both_back(engine: sa.Engine, outbox: Outbox) -> None:
    with suppress(Stop), Session(engine) as session, session.begin():
        session.add(Order(id="1"))
        session.flush()
        outbox.add(session, placed("1"))
        raise Stop
    assert orders(engine) == rows(engine) == []


def test_a_savepoint_that_is_rolled_back_adds_nothing(engine: sa.Engine, outbox: Outbox) -> None:
    with Session(engine) as session, session.begin():
        session.add(Order(id="1"))
        outbox.add(session, placed("1"))
        with suppress(Stop), session.begin_nested():
            session.add(Order(id="2"))
            outbox.add(session, placed("2"))
            raise Stop
        with session.begin_nested():
            session.add(Order(id="3"))
            outbox.add(session, placed("3"))
    assert orders(engine) == rows(engine) == ["1", "3"]


def test_a_scoped_session_is_the_session_of_its_scope(engine: sa.Engine, outbox: Outbox) -> None:
    scoped = scoped_session(sessionmaker(engine))
    scoped.add(Order(id="1"))
    outbox.add(scoped, placed("1"))
    scoped.commit()
    scoped.remove()
    assert orders(engine) == rows(engine) == ["1"]


def test_a_connection_commits_both(engine: sa.Engine, outbox: Outbox) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(Order).values(id="1"))
        outbox.add(connection, placed("1"))
        with suppress(Stop), connection.begin_nested():
            outbox.add(connection, placed("2"))
            raise Stop
    with engine.connect() as connection:
        connection.execute(sa.insert(Order).values(id="3"))
        outbox.add(connection, placed("3"))
        connection.rollback()
    assert orders(engine) == rows(engine) == ["1"]


def test_a_session_within_a_connection_s_transaction(engine: sa.Engine, outbox: Outbox) -> None:
    """The outer transaction decides, as it does about your rows."""
    with engine.connect() as connection:
        for number, end in (("1", connection.rollback), ("2", connection.commit)):
            connection.begin()
            with Session(connection, join_transaction_mode="create_savepoint") as session:
                session.add(Order(id=number))
                outbox.add(session, placed(number))
                session.commit()
            end()
    assert orders(engine) == rows(engine) == ["2"]


# Async


async def test_an_async_session_commits_both(engine: sa.Engine, async_engine: AsyncEngine) -> None:
    outbox = Outbox(async_engine)
    async with AsyncSession(async_engine) as session, session.begin():
        session.add(Order(id="1"))
        outbox.add(session, placed("1"))
        assert (await outbox.add(session, placed("2"))).id == "2"
    with suppress(Stop):
        async with AsyncSession(async_engine) as session, session.begin():
            session.add(Order(id="3"))
            outbox.add(session, placed("3"))
            await outbox.add(session, placed("4"))
            raise Stop
    assert orders(engine) == ["1"]
    assert rows(engine) == ["1", "2"]


async def test_a_savepoint_of_an_async_session(
    engine: sa.Engine, async_engine: AsyncEngine
) -> None:
    outbox = Outbox(async_engine)
    async with async_sessionmaker(async_engine)() as session, session.begin():
        outbox.add(session, placed("1"))
        with suppress(Stop):
            async with session.begin_nested():
                outbox.add(session, placed("2"))
                raise Stop
        async with session.begin_nested():
            outbox.add(session, placed("3"))
    assert rows(engine) == ["1", "3"]


async def test_an_async_scoped_session(engine: sa.Engine, async_engine: AsyncEngine) -> None:
    scoped = async_scoped_session(async_sessionmaker(async_engine), scopefunc=lambda: 1)
    scoped.add(Order(id="1"))
    Outbox(async_engine).add(scoped, placed("1"))
    await scoped.commit()
    await scoped.remove()
    assert orders(engine) == rows(engine) == ["1"]


async def test_an_async_connection_commits_both(
    engine: sa.Engine, async_engine: AsyncEngine
) -> None:
    outbox = Outbox(async_engine)
    async with async_engine.begin() as connection:
        await connection.execute(sa.insert(Order).values(id="1"))
        await outbox.add(connection, placed("1"))
        with suppress(Stop):
            async with connection.begin_nested():
                await outbox.add(connection, placed("2"))
                raise Stop
    assert orders(engine) == rows(engine) == ["1"]


async def test_an_add_that_is_not_awaited_commits_nothing(
    engine: sa.Engine, async_engine: AsyncEngine
) -> None:
    """Of an AsyncConnection. The next transaction of the connection is none the worse."""
    outbox = Outbox(async_engine)
    async with async_engine.connect() as connection:
        await connection.execute(sa.insert(Order).values(id="1"))
        outbox.add(connection, placed("1"))
        with pytest.raises(NotAwaitedError, match=r"order\.placed"):
            await connection.commit()
        await connection.rollback()
        await connection.execute(sa.insert(Order).values(id="2"))
        await outbox.add(connection, placed("2"))
        await connection.commit()
    assert orders(engine) == rows(engine) == ["2"]


# Connections of a driver


def test_a_driver_s_connection_commits_both(url: str, engine: sa.Engine, outbox: Outbox) -> None:
    connect: Any = psycopg.connect
    if engine.dialect.name == "sqlite":
        connect = lambda _: sqlite3.connect(str(engine.url.database))  # noqa: E731
    for number, end in (("1", "rollback"), ("2", "commit")):
        connection = connect(url)
        connection.execute(f"INSERT INTO orders VALUES ('{number}')")  # noqa: S608
        outbox.add(connection, placed(number))
        getattr(connection, end)()
        with pytest.raises(NoTransactionError, match="BEGIN"):
            outbox.add(connection, placed("none"))
        connection.close()
    assert orders(engine) == rows(engine) == ["2"]


# The event


def test_an_event_is_kept_as_on_the_wire(engine: sa.Engine, outbox: Outbox) -> None:
    """Also with the strangest texts that an event may have."""
    strange = "'; DROP TABLE orders; -- %s \\ \\0 ? $1 :x \N{RIGHT-POINTING MAGNIFYING GLASS}"
    event = placed(strange, source="%(a)s\\", correlation_id="é" * 127, causation_id='"')
    with engine.begin() as connection:
        outbox.add(connection, event)
        outbox.add(connection, placed("2"), key=strange)
    with engine.connect() as connection:
        found = [Waiting(*row) for row in connection.execute(sa.select(*WAITING_COLUMNS))]
    assert as_event(found[0].as_raw()) == event
    assert [each.ordering_key for each in found] == ["é" * 127, strange]


def test_an_event_is_caused_by_the_one_that_is_handled(engine: sa.Engine, outbox: Outbox) -> None:
    cause = placed("cause", correlation_id="all")

    def handler() -> Event[Any]:
        with engine.begin() as connection:
            return outbox.add(connection, placed("1"))

    added = handled(cause).run(handler)
    assert (added.correlation_id, added.causation_id) == ("all", "cause")
    with engine.connect() as connection:
        (found,) = [Waiting(*row) for row in connection.execute(sa.select(*WAITING_COLUMNS))]
    assert (found.ordering_key, found.causation_id) == ("all", "cause")


def test_the_key_is_the_correlation_id_unless_given(engine: sa.Engine) -> None:
    outbox = Outbox(engine, key=lambda event: event.payload["order"])
    with engine.begin() as connection:
        outbox.add(connection, placed("1", correlation_id="all"))
        outbox.add(connection, placed("2"), key="own")
        with pytest.raises(InvalidEventError, match="ordering key"):
            outbox.add(connection, placed("3"), key="a\nb")
    with engine.connect() as connection:
        keys = list(connection.scalars(sa.select(metadata.tables["outbox_events"].c.ordering_key)))
    assert keys == ["1", "own"]


def test_what_nobody_could_read_is_refused_at_once(engine: sa.Engine, outbox: Outbox) -> None:
    """The transaction can go on."""
    with engine.begin() as connection:
        with pytest.raises(InvalidPayloadError, match="bytes"):
            outbox.add(connection, Event(PLACED, None, {"text": "x" * 17_000_000}))
        with pytest.raises(InvalidEventError, match="takes an Event"):
            outbox.add(connection, {"id": "1"})  # type: ignore[call-overload]
        connection.execute(sa.insert(Order).values(id="1"))
    assert orders(engine) == ["1"]


PLACED = "order.placed"


# Mistakes


async def test_outside_a_transaction(engine: sa.Engine, async_engine: AsyncEngine) -> None:
    outbox, asynchronous = Outbox(engine), Outbox(async_engine)
    with Session(engine) as session, pytest.raises(NoTransactionError, match=r"session\.begin"):
        outbox.add(session, placed("1"))
    with engine.connect() as connection, pytest.raises(NoTransactionError, match="connection"):
        outbox.add(connection, placed("1"))
    async with AsyncSession(async_engine) as own:
        with pytest.raises(NoTransactionError, match="async with session"):
            asynchronous.add(own, placed("1"))
    async with async_engine.connect() as another:
        with pytest.raises(NoTransactionError, match="AsyncConnection"):
            asynchronous.add(another, placed("1"))
    assert rows(engine) == []


async def test_a_connection_that_commits_by_itself(
    engine: sa.Engine, async_engine: AsyncEngine
) -> None:
    by_itself: sa.Engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    if engine.dialect.name == "sqlite":
        by_itself = sa.create_engine(engine.url, isolation_level="AUTOCOMMIT")
        sa.event.listen(by_itself, "begin", lambda _: None)
    with by_itself.connect() as connection:
        connection.begin()
        with pytest.raises(NoTransactionError, match="AUTOCOMMIT"):
            Outbox(engine).add(connection, placed("1"))
    if engine.dialect.name != "sqlite":
        async with async_engine.connect() as another:
            await another.execution_options(isolation_level="AUTOCOMMIT")
            await another.begin()
            with pytest.raises(NoTransactionError, match="AUTOCOMMIT"):
                await Outbox(async_engine).add(another, placed("1"))
    assert rows(engine) == []


async def test_another_database(
    engine: sa.Engine, async_engine: AsyncEngine, tmp_path: Path
) -> None:
    other = begin_immediately(sa.create_engine(f"sqlite:///{tmp_path}/other.db"))
    outbox = Outbox(other)
    with engine.begin() as connection, pytest.raises(WrongEngineError, match="the outbox is in"):
        outbox.add(connection, placed("1"))
    async with AsyncSession(async_engine) as own, own.begin():
        with pytest.raises(WrongEngineError, match="the outbox is in"):
            outbox.add(own, placed("1"))
    async with async_engine.begin() as another:
        with pytest.raises(WrongEngineError, match="the outbox is in"):
            outbox.add(another, placed("1"))


def test_a_second_engine_for_the_same_database_is_welcome(url: str, engine: sa.Engine) -> None:
    with closing(Outbox(url)) as outbox, engine.begin() as connection:
        outbox.add(connection, placed("1"))
    assert rows(engine) == ["1"]


def test_what_is_no_transaction_at_all(outbox: Outbox) -> None:
    with pytest.raises(WrongEngineError, match="not to a str"):
        outbox.add("shop.db", placed("1"))


def test_a_driver_s_connection_of_another_kind(postgres_engine: sa.Engine) -> None:
    outbox = Outbox(postgres_engine)
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE a (b)")
        connection.execute("INSERT INTO a VALUES (1)")
        with pytest.raises(WrongEngineError, match="a connection to sqlite"):
            outbox.add(connection, placed("1"))


def test_engines_that_no_outbox_can_have() -> None:
    with pytest.raises(WrongEngineError, match="not a int"):
        Outbox(3)  # type: ignore[arg-type]
    with pytest.raises(WrongEngineError, match="a file"):
        Outbox(sa.create_engine("sqlite://"))
    with pytest.raises(InvalidOutboxUrlError, match=r"sqlite:///shop\.db"):
        Outbox("mysql://localhost/shop")
    with pytest.raises(InvalidOutboxUrlError, match=r"a file, such as"):
        Outbox("sqlite://")


async def test_an_engine_for_sqlite_must_begin_immediately(tmp_path: Path) -> None:
    """The error says how; it is told when an event is added, too."""
    url = f"sqlite:///{tmp_path}/shop.db"
    plain = sa.create_engine(url)
    with pytest.raises(SqliteBeginError, match=r"begin_immediately\(engine\)"):
        Outbox(plain).open_sync()
    deferred = sa.create_engine(url, connect_args={"isolation_level": None})
    sa.event.listen(deferred, "begin", lambda each: each.exec_driver_sql("BEGIN"))
    with deferred.begin() as connection, pytest.raises(SqliteBeginError, match="BEGIN IMMEDIATE"):
        Outbox(deferred).add(connection, placed("1"))
    with pytest.raises(SqliteBeginError, match=r"begin_immediately\(engine\)"):
        await Outbox(create_async_engine(async_url(url))).open()
    # With listeners of one's own, it is as good as ours.
    own = sa.create_engine(url, connect_args={"isolation_level": None})
    sa.event.listen(own, "begin", lambda each: each.exec_driver_sql("begin  immediate"))
    outbox = Outbox(own)
    outbox.open_sync()
    with own.begin() as connection:
        outbox.add(connection, placed("1"))
    assert rows(own) == ["1"]


def test_a_driver_that_begins_by_itself_is_refused(file_engine: sa.Engine) -> None:
    """A second engine of the same file, without the listeners."""
    outbox, plain = Outbox(file_engine), sa.create_engine(file_engine.url)
    with plain.begin() as connection, pytest.raises(SqliteBeginError, match="too late"):
        outbox.add(connection, placed("1"))


def test_tables_that_are_not_there(url: str) -> None:
    engine = sa.create_engine(sync_url(url))
    if engine.dialect.name == "sqlite":
        begin_immediately(engine)
    with engine.begin() as connection, pytest.raises(OutboxSchemaError, match=r"outbox\.open"):
        Outbox(engine).add(connection, placed("1"))
    engine.dispose()


def test_errors_of_the_transaction_stay_what_they_are(engine: sa.Engine, outbox: Outbox) -> None:
    """Whoever repeats a transaction after a deadlock looks for the driver's error."""
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE outbox_events")
        connection.exec_driver_sql(
            "CREATE TABLE outbox_events (id INTEGER CHECK (id < 0), "
            "type TEXT, source TEXT, time BIGINT, correlation_id TEXT, causation_id TEXT, "
            "body TEXT, ordering_key TEXT, slot TEXT NOT NULL CHECK (slot = ''))"
        )
    with engine.begin() as connection, pytest.raises(sa.exc.DBAPIError):
        outbox.add(connection, placed("1"))
