"""ErlangHost: folder, cookie and epmd of Erlang nodes, apart from all others on the machine."""

import os
import secrets
from pathlib import Path

from qt_events.errors import BusStateError
from qt_events.testing.broker.installed import program
from qt_events.testing.keeper import Keeper
from qt_events.testing.ports import free_ports


class ErlangHost:
    """A folder, a HOME, a cookie and an epmd: nodes of one host see only one another.

    The host ends, with the nodes that its keeper spawned, on `close`, at the interpreter's exit and
    when this process is killed.
    """

    def __init__(self, prefix: str) -> None:
        """Take the prefix of the folder's name. Nothing exists until `open`."""
        self._prefix = prefix
        (self._epmd,) = free_ports(1)
        self._keeper: Keeper | None = None

    @property
    def is_open(self) -> bool:
        return self._keeper is not None

    @property
    def keeper(self) -> Keeper:
        """Keeper of the folder and all processes."""
        if self._keeper is None:
            raise BusStateError("it is not running: call start() first, or use it in a `with`")
        return self._keeper

    @property
    def folder(self) -> Path:
        return self.keeper.folder

    def open(self) -> None:
        """Make the folder and start the epmd."""
        self._keeper = Keeper(self._prefix)
        try:
            home = self.folder / "home"
            home.mkdir()
            cookie = home / ".erlang.cookie"
            cookie.write_text(secrets.token_hex(16))
            # Erlang refuses a cookie that others can read.
            cookie.chmod(0o400)
            # Before any node, which would start an epmd as a daemon that nobody ends.
            self.keeper.spawn("epmd", [program("epmd"), "-port", str(self._epmd)], self.environment)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill every process and remove the folder. Safe to repeat."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a process on this host."""
        # Settings for another broker, by the user or by /etc/rabbitmq, must not leak into this one.
        foreign = ("RABBITMQ_", "ERL_")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        return inherited | {
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
