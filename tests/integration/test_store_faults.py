"""Faults of the store: a silent PostgreSQL, missing rights, a newer schema, impossible values."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.waiting import until
from workers.fleet.postgres import PrivatePostgres
from workers.store import Store, StoreError, StoreSchemaError, StoreUnavailableError, postgresql


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.dispose()


class Proxy:
    """Carries bytes to a server and back; while it is dead it holds them, and connections stay
    open."""

    def __init__(self, port: int) -> None:
        self._port, self._alive = port, asyncio.Event()
        self._alive.set()

    def die(self) -> None:
        self._alive.clear()

    def revive(self) -> None:
        self._alive.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen on a port of its own."""
        async with await asyncio.start_server(self._carry, "127.0.0.1") as server:
            yield server.sockets[0].getsockname()[1]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._alive.wait()
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()


async def test_a_silent_server_ends_in_an_error_and_is_used_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open connections and new ones get no answer."""
    proxy = Proxy(urlsplit(postgres_url).port or 0)
    async with proxy.listening() as port:
        with opened(postgres_url.replace(f":{urlsplit(postgres_url).port}/", f":{port}/")) as store:
            await store.documents.put("kind", "key", {"n": 1})
            proxy.die()
            with monkeypatch.context() as patch:
                patch.setattr(postgresql, "SILENCE", 0.5)
                with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1"):
                    await store.documents.get("kind", "key")
            proxy.revive()
            assert await store.documents.get("kind", "key") == {"n": 1}


async def test_a_user_without_the_right_is_told_so(
    postgres: PrivatePostgres, postgres_url: str
) -> None:
    """Waiting does not help, so this is no StoreUnavailableError."""
    with opened(postgres_url) as store:
        await store.is_empty()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP ROLE IF EXISTS stranger")
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'planted'")
    place = postgres_url.rpartition("@")[2]
    with (
        opened(f"postgresql://stranger:planted@{place}") as store,
        pytest.raises(StoreError, match="permission denied") as refused,
    ):
        await store.is_empty()
    assert not isinstance(refused.value, StoreUnavailableError)
    assert "planted" not in f"{refused.value} {refused.value!r}"


async def test_a_schema_from_the_future_holds_no_connection(postgres_url: str) -> None:
    """Repeated attempts must not use up the server's connections."""
    with opened(postgres_url) as store:
        await store.is_empty()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        with opened(postgres_url) as store:
            for _ in range(3):
                with pytest.raises(StoreSchemaError):
                    await store.is_empty()
            query = (
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> %s"
            )
            # A server notices a moment later that a client has gone.
            await until(
                lambda: connection.execute(query, [connection.info.backend_pid]).fetchone() == (0,)
            )


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("key", "value"),
    [("nan", {"n": float("nan")}), ("no JSON", {"n": object()}), ("\ud800", {})],
    ids=["nan", "object", "surrogate"],
)
async def test_what_is_no_json_is_refused_by_both(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    database: str,
    key: str,
    value: dict[str, object],
) -> None:
    """SQLite alone would keep a NaN, and the program would fail on PostgreSQL."""
    url = (
        f"sqlite:///{tmp_path}/store.db"
        if database == "sqlite"
        else str(request.getfixturevalue("postgres_url"))
    )
    with opened(url) as store:
        with pytest.raises(StoreError, match="refuses"):
            await store.documents.put("kind", key, value)
        assert await store.is_empty()
