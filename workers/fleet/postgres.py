"""PrivatePostgres: a PostgreSQL server of one's own, from installed binaries, without Docker."""

import os
import pwd
import secrets
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from qt_events import BusStateError, QtEventsError
from qt_events.testing.keeper import Keeper
from qt_events.testing.ports import free_ports

_DEBIAN = Path("/usr/lib/postgresql")
_USER = "qt"
_POLL = 0.05  # seconds


class PostgresError(QtEventsError):
    """The server cannot be had, or did not do its part."""


class PrivatePostgres:
    """A server on 127.0.0.1 with a port, data and a password of its own; it disturbs no other.

    Use it as a context manager. It is up in a few seconds and ends, its folder included, when it is
    left, at the interpreter's exit and when this process is killed. PostgreSQL refuses to run as
    root; then it is `postgres`, a user that its package makes, or `nobody`. It forces nothing to
    disk: a crash of the machine would be fatal.
    """

    def __init__(self, *, startup_timeout: float = 60.0) -> None:
        """Take `startup_timeout` in seconds, for each start and restart."""
        self._startup_timeout = startup_timeout
        (self._port,) = free_ports(1)
        self._password = secrets.token_hex(8)
        self._running: Keeper | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._running = Keeper("qt-events-postgres-")
        try:
            self._furnish()
            self._boot()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """URL of a database that exists from the start."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self._port}/{name}"

    def create_database(self, name: str) -> str:
        """Create a database, and return its URL."""
        self._run("createdb", name)
        return self.database_url(name)

    def kill(self) -> None:
        """SIGKILL the server: a crash. Its data stays for `restart`; nobody answers any more."""
        children = _children_of_stopped(self._alive())
        self._server = None
        self._keeper.kill("server")
        for pidfd in children:
            _end(pidfd)

    def limit_files(self, longest: int | None) -> None:
        """Let no file grow beyond so many bytes, as on a full disk; None ends that.

        It holds for connections that are made afterwards.
        """
        limit = f"--fsize={'unlimited' if longest is None else longest}:"
        # As the server's user: root may not do it in every container.
        subprocess.run(
            [*self._before, "prlimit", limit, "--pid", str(self._alive().pid)], check=True
        )

    def restart(self) -> None:
        """Start it again on the same data and port; shut it down first if it runs."""
        if self._server is not None:
            self._shut_down()
        self._boot()

    def stop(self) -> None:
        """End it and remove its folder. Safe to repeat."""
        keeper, self._running = self._running, None
        if self._server is not None and keeper is not None:
            self._server.send_signal(signal.SIGINT)  # SIGINT: it removes its shared memory
            try:
                self._server.wait(10)
            except subprocess.TimeoutExpired:
                keeper.kill("server")
        self._server = None
        if keeper is not None:
            keeper.close()

    def _furnish(self) -> None:
        folder, user = self._keeper.folder, _unprivileged()
        folder.chmod(0o755)
        self._data = folder / "data"
        self._data.mkdir(mode=0o700)
        secret = folder / "password"
        secret.write_text(self._password)
        self._before: list[str] = []
        if user is not None:
            os.chown(self._data, user.pw_uid, user.pw_gid)
            os.chown(secret, user.pw_uid, user.pw_gid)
            self._before = [
                "setpriv",
                f"--reuid={user.pw_uid}",
                f"--regid={user.pw_gid}",
                "--clear-groups",
                "--",
            ]
        options = [
            "--auth=scram-sha-256",
            f"--username={_USER}",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--no-sync",
        ]
        self._must("initdb", f"--pgdata={self._data}", "--locale=C", *options, before=self._before)
        secret.unlink()

    def _boot(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            # In the folder: a killed server leaves nothing in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
            "fsync": "off",
            "max_connections": "50",
        }
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        command = [*self._before, str(_bin() / "postgres"), "-D", str(self._data), *flags]
        deadline = time.monotonic() + self._startup_timeout
        while True:
            self._server = self._keeper.spawn("server", command, _environment())
            while self._server.poll() is None and not self._answers():
                if time.monotonic() > deadline:
                    raise PostgresError(
                        f"PostgreSQL is not up after {self._startup_timeout:g} s\n"
                        f"{self._log_tail()}"
                    )
                time.sleep(_POLL)
            if self._server.poll() is None:
                return
            # After a crash that was not `kill`, its memory is in use until its last process ends.
            if "shared memory block" not in self._log_tail() or time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL ended while starting\n{self._log_tail()}")
            time.sleep(_POLL)

    def _shut_down(self) -> None:
        server = self._alive()
        server.send_signal(signal.SIGINT)
        server.wait(self._startup_timeout)

    def _answers(self) -> bool:
        command = [
            str(_bin() / "pg_isready"),
            "--quiet",
            "--host=127.0.0.1",
            f"--port={self._port}",
        ]
        return subprocess.run(command, env=_environment(), check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        where = ["--host=127.0.0.1", f"--port={self._port}", f"--username={_USER}", "--no-password"]
        self._must(program, *where, *arguments)

    def _must(self, program: str, *arguments: str, before: Sequence[str] = ()) -> None:
        done = subprocess.run(
            [*before, str(_bin() / program), *arguments],
            env=_environment() | {"PGPASSWORD": self._password},
            cwd=self._keeper.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PostgresError(f"{program}: {done.stderr.strip() or done.stdout.strip()}")

    @property
    def _keeper(self) -> Keeper:
        if self._running is None:
            raise BusStateError("this PostgreSQL is not running: use it in a `with`")
        return self._running

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._server is None:
            raise BusStateError("this PostgreSQL is down: call restart() first")
        return self._server

    def _log_tail(self) -> str:
        log = self._keeper.folder / "server.out"
        return "\n".join(log.read_text(errors="replace").splitlines()[-12:])


def installed_postgres() -> Path | None:
    """Return the folder of `postgres` and `initdb`, or None.

    Debian's newest comes first, then that of `initdb` on the PATH.
    """
    found = [path.parent for path in _DEBIAN.glob("*/bin/postgres")]
    if found:
        return max(found, key=lambda folder: float(folder.parent.name))
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def _children_of_stopped(server: subprocess.Popen[bytes]) -> list[int]:
    """SIGSTOP the server, if it runs, and return pidfds of its children.

    Stopped, it starts and buries nobody any more.
    """
    if server.poll() is not None:
        return []
    server.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return [os.pidfd_open(pid) for pid in _children(server.pid)]


def _children(parent: int) -> list[int]:
    """Return the ids of child processes (proc(5): `stat` has the parent behind name and state)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _end(pidfd: int) -> None:
    """SIGKILL the process, and return when it is gone. PostgreSQL gives each a group of its own."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    gone = select.poll()
    gone.register(pidfd, select.POLLIN)
    gone.poll()
    os.close(pidfd)


def _bin() -> Path:
    found = installed_postgres()
    if found is None:
        raise PostgresError(
            "no PostgreSQL is installed: "
            "`python -m tests.support.provision --ensure postgresql` gets one"
        )
    return found


def _environment() -> dict[str, str]:
    """Return the environment without settings for another server."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {
        "LC_ALL": "C"
    }


def _unprivileged() -> pwd.struct_passwd | None:
    """Return the user that the server runs as; None for the current one."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]
