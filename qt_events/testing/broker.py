"""PrivateBroker: a RabbitMQ node of one's own, from the installed `rabbitmq-server`, without root or Docker."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from qt_events.errors import BrokerError, BusStateError
from qt_events.testing.keeper import Keeper
from qt_events.testing.management import Management
from qt_events.testing.ports import free_ports

_DEBIAN = Path("/usr/lib/rabbitmq/bin")

_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {http}
collect_statistics_interval = 1000
disk_free_limit.absolute = 10MB
raft.wal_max_size_bytes = 33554432
"""

# Queue figures of quorum queues every second instead of every five: tests read them.
_ADVANCED = "[{rabbit, [{quorum_tick_interval, 1000}]}].\n"

# Schedulers that do not spin while idle: several nodes and the tests share a few cores.
_ERLANG = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"


class Broker(Protocol):
    """What tests may ask of a RabbitMQ. Only a PrivateBroker does what harms; a given one refuses: NotSupportedError.

    Every call blocks: milliseconds for signals, a second for what goes through `rabbitmqctl`, several for a restart.
    In an `async def` test use `asyncio.to_thread` where the loop has to go on meanwhile.
    """

    url: str
    management_url: str
    management: Management

    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def suspend(self) -> None: ...
    def resume(self) -> None: ...
    def block(self) -> None: ...
    def unblock(self) -> None: ...
    def rabbitmqctl(self, *arguments: str) -> str: ...


class PrivateBroker:
    """A node on 127.0.0.1 with ports, data, cookie, HOME and epmd of its own; it neither sees nor disturbs others.

    Use it as a context manager, or call `start` and `stop`. Its URLs are known before the start; nobody listens yet.
    It comes up in about six seconds and ends, folder and epmd included, on `stop`, at the interpreter's exit and when
    this process is killed. Linux and macOS. Not safe to be driven from several threads at once.
    """

    def __init__(self, *, startup_timeout: float = 90.0) -> None:
        """`startup_timeout` in seconds, for each start and restart."""
        self._startup_timeout = startup_timeout
        self._amqp, self._http, self._dist, self._epmd = free_ports(4)
        self._name = f"qt-{secrets.token_hex(4)}@localhost"
        self.url = f"amqp://guest:guest@127.0.0.1:{self._amqp}//"
        self.management_url = f"http://guest:guest@127.0.0.1:{self._http}"
        self.management = Management(self.management_url, self.url)
        self._running: Keeper | None = None
        self._node: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """Where its data and logs (`log/`) are, until it stops."""
        return self._keeper.folder

    def start(self) -> None:
        """Returns when the node takes AMQP connections and its management API answers.

        BrokerError with the end of its log if that takes longer than `startup_timeout`, or if no RabbitMQ is installed.
        """
        if self._running is not None:
            raise BusStateError(f"{self._name} has been started already; stop() it first, or use restart()")
        rabbitmq_bin()
        self._running = Keeper("qt-events-broker-")
        try:
            self._furnish()
            # Before the node: it would start an epmd as a daemon of its own, and nobody would end that.
            self._keeper.spawn("epmd", [_program("epmd"), "-port", str(self._epmd)], self._environment)
            self._boot()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the node and its epmd at once and remove the folder. Stopping twice does nothing."""
        keeper, self._running, self._node = self._running, None, None
        if keeper is not None:
            keeper.close()

    def settle(self) -> None:
        """Returns when what has been declared so far is on disk; call it before a `kill` soon after a declare.

        RabbitMQ 3.10.8 notes a new quorum queue in tables (DETS) that it writes up to a second later: killed before
        that, it comes back with a queue that answers nobody, whatever was confirmed into it.
        """
        self.rabbitmqctl("eval", "[ok = dets:sync(Table) || Table <- dets:all()].")

    def kill(self) -> None:
        """SIGKILL the node: a crash. Its data stays for `restart`; see `settle`."""
        self._alive()
        self._node = None
        self._keeper.kill("node")

    def restart(self) -> None:
        """Start it again on the same data and ports; one that still runs is shut down in good order first."""
        if self._node is not None:
            self._shut_down(self._node)
        self._boot()

    def suspend(self) -> None:
        """SIGSTOP: connections stay open, new ones are accepted by the kernel, and nobody answers on them."""
        node = self._alive()
        node.send_signal(signal.SIGSTOP)
        if hasattr(os, "waitid"):  # not on macOS; on a busy machine some of its threads go on for a while
            os.waitid(os.P_PID, node.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT: it goes on where it stopped."""
        self._alive().send_signal(signal.SIGCONT)

    def block(self) -> None:
        """Raise the memory alarm: from its next publish on a connection gets `connection.blocked` and is not read."""
        self._set_watermark("0", alarmed=True)

    def unblock(self) -> None:
        """Clear the memory alarm: blocked connections get `connection.unblocked`."""
        self._set_watermark("0.4", alarmed=False)

    def rabbitmqctl(self, *arguments: str) -> str:
        """The output of `rabbitmqctl --quiet <arguments>` on this node; BrokerError with its words if it fails."""
        command = [str(rabbitmq_bin() / "rabbitmqctl"), "--quiet", "--node", self._name, *arguments]
        done = subprocess.run(
            command, env=self._environment, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise BrokerError(f"rabbitmqctl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    @property
    def _keeper(self) -> Keeper:
        if self._running is None:
            raise BusStateError(f"{self._name} is not running: call start() first, or use it in a `with`")
        return self._running

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._node is None:
            raise BusStateError(f"{self._name} is down: call restart() first")
        return self._node

    def _furnish(self) -> None:
        for name in ("data", "log", "home", "none"):
            (self.folder / name).mkdir()
        (self.folder / "rabbitmq.conf").write_text(_CONFIG.format(amqp=self._amqp, http=self._http))
        (self.folder / "advanced.config").write_text(_ADVANCED)
        (self.folder / "plugins").write_text("[rabbitmq_management].\n")
        (self.folder / "rabbitmq-env.conf").touch()
        cookie = self.folder / "home" / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        # Erlang refuses a cookie that others can read.
        cookie.chmod(0o400)

    @property
    def _environment(self) -> dict[str, str]:
        folder = self.folder
        # What is set for another broker, by the user or by the machine's /etc/rabbitmq, must not leak into this one.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        return inherited | {
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # The launcher then becomes the Erlang VM instead of keeping a shell in front: signals reach the VM itself.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_DIST_PORT": str(self._dist),
            # 0: any free one. The default is the node's plus 10,000 and may lie beyond the last port.
            "RABBITMQ_CTL_DIST_PORT_MIN": "0",
            "RABBITMQ_CTL_DIST_PORT_MAX": "0",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(folder / "none"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
        }

    def _boot(self) -> None:
        node = self._keeper.spawn("node", [str(rabbitmq_bin() / "rabbitmq-server")], self._environment)
        self._node = node
        self._wait_for(lambda: node.poll() is not None or self.management.is_ready(self._amqp), "came up")
        if node.poll() is not None:
            raise BrokerError(f"{self._name} ended with status {node.returncode} while starting\n{self._log_tail()}")

    def _shut_down(self, node: subprocess.Popen[bytes]) -> None:
        self.resume()
        node.terminate()
        try:
            node.wait(self._startup_timeout)
        except subprocess.TimeoutExpired as error:
            raise BrokerError(
                f"{self._name} did not shut down in {self._startup_timeout} s\n{self._log_tail()}"
            ) from error
        self.kill()

    def _set_watermark(self, share: str, *, alarmed: bool) -> None:
        self.rabbitmqctl("set_vm_memory_high_watermark", share)
        self._wait_for(lambda: self.management.is_alarmed() is alarmed, f"set its memory alarm to {alarmed}")

    def _wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self._startup_timeout
        while not condition():
            if time.monotonic() > deadline:
                raise BrokerError(f"{self._name} has not {what} in {self._startup_timeout} s\n{self._log_tail()}")
            time.sleep(0.05)

    def _log_tail(self) -> str:
        logs = [*self.folder.glob("*.out"), *sorted(self.folder.glob("log/*.log"))]
        return "\n".join(line for log in logs for line in log.read_text(errors="replace").splitlines()[-12:])


def installed_rabbitmq() -> Path | None:
    """The folder of `rabbitmq-server` and `rabbitmqctl`, or None.

    Debian's own, since its wrapper on the PATH insists on the user `rabbitmq`; else the first one on the PATH.
    """
    if (_DEBIAN / "rabbitmq-server").exists():
        return _DEBIAN
    found = shutil.which("rabbitmq-server")
    return Path(found).parent if found else None


def rabbitmq_bin() -> Path:
    """The same, or a BrokerError that says how to get one."""
    found = installed_rabbitmq()
    if found is None:
        raise BrokerError(
            "no rabbitmq-server is installed: `python -m qt_events.testing.provision --ensure rabbitmq` gets one"
        )
    return found


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BrokerError(f"{name}, a part of Erlang, is not on the PATH, though rabbitmq-server is installed")
    return found
