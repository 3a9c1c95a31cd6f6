"""PrivatePostgres: a server starts by itself, survives a crash, and leaves nothing behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from qt_events.errors import BusStateError
from workers.fleet.postgres import PostgresError, PrivatePostgres

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    """Start one server for this module. Tests may harm it, and leave it running."""
    with PrivatePostgres() as server:
        yield server


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not become true in time"
        time.sleep(0.02)


def folder_of(server: PrivatePostgres) -> Path:
    with psycopg.connect(server.url) as connection:
        found = connection.execute("SHOW data_directory").fetchone()
    assert found is not None
    return Path(found[0]).parent


def processes_in(folder: Path) -> list[int]:
    """Return the processes whose working directory is in the folder.

    The server changes to its data folder at its start, and its children inherit that.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
    return found


def segments() -> set[str]:
    return {path.name for path in SHARED_MEMORY.glob("PostgreSQL.*")}


def test_what_was_kept_survives_a_crash(server: PrivatePostgres) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'still here' AS word")
    server.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url, connect_timeout=5)
    server.restart()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT word FROM kept").fetchone() == ("still here",)


def test_after_a_crash_nobody_answers_any_more(server: PrivatePostgres) -> None:
    """A process of the server that cannot notice the crash does not answer either."""
    with psycopg.connect(server.url) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    server.restart()


def test_a_running_server_is_restarted_in_good_order(server: PrivatePostgres) -> None:
    with psycopg.connect(server.url) as connection:
        before = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    server.restart()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT pg_postmaster_start_time()").fetchone() != before


def test_a_database_of_its_own_is_empty_and_apart(server: PrivatePostgres) -> None:
    one, two = server.create_database("one"), server.create_database("two")
    with psycopg.connect(one) as connection:
        connection.execute("CREATE TABLE only_there ()")
    with psycopg.connect(two) as connection:
        assert connection.execute("SELECT to_regclass('only_there')").fetchone() == (None,)


def test_nobody_comes_in_without_the_password(server: PrivatePostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url, password="guessed")


def test_a_refused_command_says_which_and_why(server: PrivatePostgres) -> None:
    with pytest.raises(PostgresError, match=r"^createdb: .*already exists"):
        server.create_database("postgres")


def test_it_listens_at_no_socket_file_and_at_no_other_address(server: PrivatePostgres) -> None:
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW unix_socket_directories").fetchone() == ("",)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_another_servers_settings_in_the_environment_do_not_leak_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "PGPORT": "1",
        "PGSSLMODE": "require",
        "PGDATA": "/nowhere",
        "PGOPTIONS": "-c x",
    }.items():
        monkeypatch.setenv(name, value)
    with PrivatePostgres() as server:
        server.create_database("made")


def test_a_stopped_server_leaves_nothing_behind() -> None:
    before = segments()
    with PrivatePostgres() as server:
        folder = folder_of(server)
        assert len(processes_in(folder)) > 1
    assert not folder.exists()
    until(lambda: not processes_in(folder))
    assert segments() <= before
    with pytest.raises(BusStateError):
        server.kill()


def test_a_server_does_not_outlive_a_killed_parent() -> None:
    program = (
        "import time; from workers.fleet.postgres import PrivatePostgres\n"
        "server = PrivatePostgres(); server.__enter__(); print(server.url, flush=True)\n"
        "time.sleep(600)"
    )
    before = segments()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        with psycopg.connect(url) as connection:
            found = connection.execute("SHOW data_directory").fetchone()
        assert found is not None
        folder = Path(found[0]).parent
        assert processes_in(folder)
        parent.send_signal(signal.SIGKILL)
    until(lambda: not folder.exists() and not processes_in(folder))
    assert segments() <= before


def test_a_server_that_cannot_start_shows_the_end_of_its_log_at_once() -> None:
    # The start-up timeout is longer than a test may take.
    server = PrivatePostgres(startup_timeout=600)
    with (
        socket.create_server(("127.0.0.1", urlsplit(server.database_url("postgres")).port or 0)),
        pytest.raises(PostgresError, match="Address already in use"),
    ):
        server.__enter__()
