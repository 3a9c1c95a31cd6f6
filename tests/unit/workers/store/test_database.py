"""Database: URLs, locks, forks and versions."""

import asyncio
import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.support.waiting import until
from workers.store import (
    Database,
    Documents,
    InvalidStoreUrlError,
    Store,
    StoreSchemaError,
    StoreUnavailableError,
)
from workers.store.migrations import HEAD
from workers.store.tables import metadata


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "planted",
        "mysql://user:planted@host/name",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://user:planted@host:port/x",
    ],
)
def test_a_url_that_means_nothing_is_refused_at_once(url: str) -> None:
    """The text has an example, but not the URL, which may hold a password."""
    with pytest.raises(InvalidStoreUrlError, match=r"sqlite:///qt_events\.db") as refused:
        Store(url)
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_password_is_never_shown(scheme: str) -> None:
    """PostgreSQL may be spelled in several ways."""
    database = Database(f"{scheme}://user:planted@host/name")
    assert str(database) == "postgresql+psycopg://user:***@host/name"
    assert "planted" not in repr(database)


def test_the_database_is_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    """QT_DATABASE_URL names it; it is opened at its first use."""
    monkeypatch.setenv("QT_DATABASE_URL", f"sqlite:///{path}")
    Store.from_environment()
    assert not path.exists()


async def test_a_locked_database_is_an_error_that_passes(path: Path) -> None:
    """The failed attempt writes nothing, and the next one works."""
    database = Database(f"sqlite:///{path}", busy_timeout=0.05)
    documents = Documents(database)
    await documents.put("kind", "key", {"n": 1})
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        await documents.put("kind", "key", {"n": 2})
    # Readers do not wait for a writer.
    assert await documents.get("kind", "key") == {"n": 1}
    other.execute("COMMIT")
    other.close()
    await documents.put("kind", "key", {"n": 2})
    assert await documents.get("kind", "key") == {"n": 2}
    database.dispose()


async def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The folder is missing."""
    store = Store(f"sqlite:///{tmp_path}/nowhere/store.db")
    with pytest.raises(StoreUnavailableError, match=r"nowhere/store\.db.*unable to open"):
        await store.is_empty()


async def test_a_schema_from_the_future_is_left_alone(path: Path) -> None:
    """An older program must not write into it."""
    store = Store(f"sqlite:///{path}")
    assert await store.is_empty()
    store.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreSchemaError, match=f"9999.*{HEAD}.*update"):
        await store.is_empty()
    store.dispose()


async def test_the_migrations_lead_to_the_tables_of_the_program(path: Path) -> None:
    """The constant HEAD, which saves importing Alembic, is Alembic's head, and its schema that of
    tables.py."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "workers.store:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
    database = Database(f"sqlite:///{path}")
    found = await database.read(
        lambda connection: compare_metadata(MigrationContext.configure(connection), metadata)
    )
    assert found == []
    database.dispose()


def test_a_forked_process_has_connections_of_its_own(path: Path) -> None:
    """The parent's connections go on working."""
    store = Store(f"sqlite:///{path}")
    asyncio.run(store.documents.put("kind", "parent", {}))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            database = store._database  # noqa: SLF001
            before = database._engine  # noqa: SLF001
            status = 0 if database._open_engine() is not before else 2  # noqa: SLF001
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asyncio.run(store.documents.put("kind", "parent", {"again": True}))
    assert asyncio.run(store.documents.count("kind")) == 1
    store.dispose()


@pytest.mark.parametrize("by", ["dispose", "fork"])
async def test_a_connection_in_use_when_all_are_closed_is_closed_after_its_transaction(
    path: Path, by: str
) -> None:
    """A coroutine that is cancelled leaves its thread in the middle of one."""
    database = Database(f"sqlite:///{path}")
    closed: list[object] = []
    begun, may_end = threading.Event(), threading.Event()

    def work(connection: sa.Connection) -> None:
        sa.event.listen(connection.engine, "close", lambda raw, _: closed.append(raw))
        begun.set()
        assert may_end.wait(60)

    reading = asyncio.create_task(database.read(work))
    assert await asyncio.to_thread(begun.wait, 60)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    database.dispose() if by == "dispose" else database.give_up_engine()
    assert closed == []
    may_end.set()
    await until(lambda: len(closed) == 1)
