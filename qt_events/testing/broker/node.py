"""Node: one RabbitMQ node on an ErlangHost, and every way to harm it."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from qt_events.errors import BrokerError, BusStateError
from qt_events.testing.broker.erlang import ErlangHost
from qt_events.testing.broker.installed import erl_call, rabbitmq_bin
from qt_events.testing.broker.management import Management
from qt_events.testing.ports import free_ports

# The management API keeps one sample in `minute` seconds, by default in five, and answers with the
# last one: with fewer than all three policies RabbitMQ 3.10 does not start.
_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {http}
collect_statistics_interval = 1000
management.sample_retention_policies.global.minute = 1
management.sample_retention_policies.basic.minute = 1
management.sample_retention_policies.detailed.minute = 1
disk_free_limit.absolute = 10MB
raft.wal_max_size_bytes = 33554432
"""

# Figures of quorum queues, and connections in the management API, every second instead of every
# five, since tests read them. And two seconds instead of three minutes until a delayed retry is
# sent again whose queue had no leader (3.10.8, after a failover).
_ADVANCED = """\
[{rabbit, [
   {quorum_tick_interval, 1000},
   {dead_letter_worker_publisher_confirm_timeout, 2000}
]},
{rabbitmq_management_agent, [
   {sample_retention_policies, [{global, [{60, 1}]}, {basic, [{60, 1}]}, {detailed, [{60, 1}]}]}
]}].
"""

# Schedulers that do not spin while idle: several nodes and the tests share a few cores.
_ERLANG = (
    "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
)

# Modules of all applications at once, before the node itself loads them one by one: a quarter of
# the processor time of a start. Whatever fails here the node does itself. RabbitMQ starts another
# Erlang on its way up, to be sure of an epmd: that one, without arguments of _ERLANG, needs none.
_PRELOAD = """\
Keys = fun(App) ->
   case file:consult(code:where_is_file(atom_to_list(App) ++ ".app")) of
      {ok, [{application, _, Found}]} -> Found;
      _ -> []
   end
end,
Modules = fun
   Of([], Seen) -> lists:append(maps:values(Seen));
   Of([App | Rest], Seen) when is_map_key(App, Seen) -> Of(Rest, Seen);
   Of([App | Rest], Seen) ->
      Found = Keys(App),
      Needed = proplists:get_value(applications, Found, []),
      Of(Needed ++ Rest, Seen#{App => proplists:get_value(modules, Found, [])})
end,
[code:ensure_modules_loaded(Modules([rabbit, rabbitmq_management], #{}))
 || {ok, _} <- [init:get_argument(kernel)]].
"""

# On every node of the cluster; a single node is a cluster of its own.
_SYNC_TABLES = """\
[ok = rpc:call(Node, dets, sync, [Table])
 || Node <- rabbit_nodes:all_running(), Table <- rpc:call(Node, dets, all, [])]."""
_SYNC_MNESIA = "[ok = rpc:call(Node, mnesia, sync_log, []) || Node <- rabbit_nodes:all_running()]."
# A new node of this version, or a later one, keeps its declarations in Khepri, which has them on
# disk when it confirms them.
_KHEPRI = (4, 2)


class Node:
    """A node on 127.0.0.1 with ports and data of its own, apart from nodes of other hosts.

    Its URLs are known before the start. It comes up in about six seconds. Linux and macOS. Do not
    drive it from several threads at once.
    """

    def __init__(
        self,
        host: ErlangHost,
        *,
        name: str | None = None,
        label: str = "node",
        startup_timeout: float = 90.0,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Take PrivateBroker's arguments; `label` names folder and process on the `host`."""
        self._host, self._label, self._startup_timeout = host, label, startup_timeout
        self._settings = dict(settings or {})
        self._amqp, self._http, self._dist = free_ports(3)
        self.name = name or new_name()  #: RabbitMQ's own name of it
        self.url = f"amqp://guest:guest@127.0.0.1:{self._amqp}//"
        self.management_url = f"http://guest:guest@127.0.0.1:{self._http}"
        self.management = Management(self.management_url, self.url)
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{self.name} on port {self._amqp}>"

    @property
    def is_up(self) -> bool:
        """True from its start until it is killed."""
        return self._process is not None

    # Starting and harming

    def launch(self) -> None:
        """Start it for the first time and return at once; see `wait_until_up`."""
        for name in ("data", "log", "none"):
            (self._place / name).mkdir(parents=True)
        more = "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        (self._place / "rabbitmq.conf").write_text(
            _CONFIG.format(amqp=self._amqp, http=self._http) + more
        )
        (self._place / "advanced.config").write_text(_ADVANCED)
        (self._place / "plugins").write_text("[rabbitmq_management].\n")
        (self._place / "rabbitmq-env.conf").touch()
        (self._place / "preload").write_text(_PRELOAD)
        self._spawn()

    def wait_until_up(self) -> None:
        """Wait until the node takes AMQP connections and its management API answers.

        Raises:
            BrokerError: that takes longer than `startup_timeout`; the text ends with its log.
        """
        node = self._alive()
        self._wait_for(
            lambda: node.poll() is not None or self.management.is_ready(self._amqp), "come up"
        )
        if node.poll() is not None:
            raise BrokerError(
                f"{self.name} ended with status {node.returncode} while starting\n"
                f"{self._log_tail()}"
            )

    def settle(self) -> None:
        """Wait until everything declared so far is on disk.

        Call it before a `kill` soon after a declare. RabbitMQ notes a new quorum queue in tables
        (DETS) that it writes up to a second later. Killed before that, 3.10.8 comes back with a
        queue that answers nobody, whatever was confirmed into it. Before 4.2 the last of its other
        declarations (Mnesia's log) is not on disk either when it is confirmed: a binding may be
        gone.
        """
        self.evaluate(_SYNC_TABLES)
        if self.management.version() < _KHEPRI:
            self.evaluate(_SYNC_MNESIA)

    def kill(self) -> None:
        """SIGKILL the node: a crash. Its data stays for `restart`; see `settle`."""
        self._alive()
        self._process = None
        self._host.keeper.kill(self._label)

    def restart(self) -> None:
        """Start it again on the same data and ports; shut it down in good order if it runs."""
        if (node := self._process) is not None:
            self.resume()
            node.terminate()
            try:
                node.wait(self._startup_timeout)
            except subprocess.TimeoutExpired as error:
                raise BrokerError(
                    f"{self.name} did not shut down in {self._startup_timeout} s\n"
                    f"{self._log_tail()}"
                ) from error
            self.kill()
        self._spawn()
        self.wait_until_up()

    def suspend(self) -> None:
        """SIGSTOP the node: connections stay open, new ones are accepted, and nobody answers."""
        node = self._alive()
        node.send_signal(signal.SIGSTOP)
        # Not on macOS. On a busy machine some of its threads run on for a while.
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, node.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT the node: it goes on where it stopped."""
        self._alive().send_signal(signal.SIGCONT)

    def block(self) -> None:
        """Raise the memory alarm: a connection that publishes gets `connection.blocked`, unread."""
        self._set_watermark("0.0", alarmed=True)

    def unblock(self) -> None:
        """Clear the memory alarm: blocked connections get `connection.unblocked`."""
        self._set_watermark("0.4", alarmed=False)

    def evaluate(self, expression: str) -> str:
        """Return the value of an Erlang expression on this node, as text. It takes milliseconds.

        Ask for numbers and atoms: Erlang's erl_call shows strings otherwise than `rabbitmqctl`,
        which takes a second and is called where there is no erl_call.

        Raises:
            BrokerError: it fails, with Erlang's own words.
        """
        if (command := erl_call()) is None:
            return self.rabbitmqctl("eval", expression).strip()
        done = self._run([command, "-sname", self.name, "-e"], f"{expression}\n")
        value = done.stdout.removeprefix("{ok, ")
        if done.returncode != 0 or value == done.stdout:
            raise BrokerError(f"{expression}: {done.stderr.strip() or done.stdout.strip()}")
        return value.removesuffix("}")

    def rabbitmqctl(self, *arguments: str) -> str:
        """Return the output of `rabbitmqctl --quiet <arguments>` on this node.

        Raises:
            BrokerError: it fails, with its own words.
        """
        command = [str(rabbitmq_bin() / "rabbitmqctl"), "--quiet", "--node", self.name, *arguments]
        done = self._run(command)
        if done.returncode != 0:
            raise BrokerError(
                f"rabbitmqctl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout

    def forget(self) -> None:
        """Note that its host has ended, and the node with it."""
        self._process = None

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BusStateError(f"{self.name} is down: call restart() first")
        return self._process

    def _spawn(self) -> None:
        command = [str(rabbitmq_bin() / "rabbitmq-server")]
        preload = f'-eval file:script(\\"{self._label}/preload\\")'
        environment = self._environment | {"ERL_AFLAGS": preload}
        self._process = self._host.keeper.spawn(self._label, command, environment)

    def _run(self, command: list[str], typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self._environment,
            cwd=self._place,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def _place(self) -> Path:
        return self._host.folder / self._label

    @property
    def _environment(self) -> dict[str, str]:
        place = self._place
        return self._host.environment | {
            # The launcher then becomes the Erlang VM instead of keeping a shell in front, so that
            # signals reach the VM itself.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Its folder ends with it, and takes a dump along.
            "ERL_CRASH_DUMP_BYTES": "0",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(self._dist),
            # 0: any free port. The default, the node's plus 10,000, may lie beyond the last one.
            "RABBITMQ_CTL_DIST_PORT_MIN": "0",
            "RABBITMQ_CTL_DIST_PORT_MAX": "0",
            "RABBITMQ_MNESIA_BASE": str(place / "data"),
            "RABBITMQ_LOG_BASE": str(place / "log"),
            "RABBITMQ_CONF_ENV_FILE": str(place / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(place / "none"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(place / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
        }

    def _set_watermark(self, share: str, *, alarmed: bool) -> None:
        self.evaluate(f"ok = vm_memory_monitor:set_vm_memory_high_watermark({share}).")
        self._wait_for(
            lambda: self.management.is_alarmed() is alarmed, f"set its memory alarm to {alarmed}"
        )

    def _wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self._startup_timeout
        while not condition():
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"{self.name} has not {what} in {self._startup_timeout} s\n{self._log_tail()}"
                )
            time.sleep(0.05)

    def _log_tail(self) -> str:
        logs = [self._host.folder / f"{self._label}.out", *sorted(self._place.glob("log/*.log"))]
        return "\n".join(
            line for log in logs for line in log.read_text(errors="replace").splitlines()[-12:]
        )


def new_name() -> str:
    """Return a name that no other node has."""
    return f"qt-{secrets.token_hex(4)}@localhost"
