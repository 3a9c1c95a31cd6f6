"""PrivateBroker: a RabbitMQ node of your own, from the installed server, without root or Docker."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from qt_events.errors import BusStateError
from qt_events.testing.broker.erlang import ErlangHost
from qt_events.testing.broker.installed import rabbitmq_bin
from qt_events.testing.broker.node import Node


class PrivateNodes:
    """Start and stop of nodes that have an ErlangHost to themselves."""

    nodes: tuple[Node, ...]
    _host: ErlangHost

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all nodes, and return when each takes connections and its management API answers.

        Raises:
            BrokerError: that takes longer than `startup_timeout`, with the end of a node's log, or
                no RabbitMQ is installed.
        """
        if self._host.is_open:
            raise BusStateError(
                f"{self.nodes[0].name} has been started already; stop() it first, or use restart()"
            )
        rabbitmq_bin()
        self._host.open()
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise

    def _launch(self) -> None:
        """Launch the nodes, and wait until they are up."""
        (node,) = self.nodes
        node.launch()
        node.wait_until_up()

    def stop(self) -> None:
        """End the nodes and their epmd at once and remove the folder. Safe to repeat."""
        for node in self.nodes:
            node.forget()
        self._host.close()


class PrivateBroker(PrivateNodes, Node):
    """A node with its own ports, data, cookie, HOME and epmd; it neither sees nor disturbs others.

    Use it as a context manager, or call `start` and `stop`. Its URLs are known before the start. It
    comes up in about six seconds. It ends, folder and epmd included, on `stop`, at the
    interpreter's exit and when this process is killed. Linux and macOS. Do not drive it from
    several threads at once.
    """

    def __init__(
        self, *, startup_timeout: float = 90.0, settings: Mapping[str, str] | None = None
    ) -> None:
        """Take seconds for each start and restart, and more lines for its rabbitmq.conf."""
        super().__init__(
            ErlangHost("qt-events-broker-"), startup_timeout=startup_timeout, settings=settings
        )
        self.nodes = (self,)

    @property
    def folder(self) -> Path:
        """Folder of everything that is its own, until it stops; logs are in `node/log/`."""
        return self._host.folder
