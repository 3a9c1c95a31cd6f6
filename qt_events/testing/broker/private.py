"""PrivateBroker: a RabbitMQ node of one's own, from the installed `rabbitmq-server`, without root or Docker."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from qt_events.errors import BusStateError
from qt_events.testing.broker.erlang import ErlangHost
from qt_events.testing.broker.installed import rabbitmq_bin
from qt_events.testing.broker.node import Node


class PrivateBroker(Node):
    """A node with a host of its own: ports, data, cookie, HOME and epmd; it neither sees nor disturbs others.

    Use it as a context manager, or call `start` and `stop`. Its URLs are known before the start; nobody listens yet.
    It comes up in about six seconds and ends, folder and epmd included, on `stop`, at the interpreter's exit and when
    this process is killed. Linux and macOS. Not safe to be driven from several threads at once.
    """

    def __init__(self, *, startup_timeout: float = 90.0, settings: Mapping[str, str] | None = None) -> None:
        """`startup_timeout` in seconds, for each start and restart; `settings` are more lines of its rabbitmq.conf."""
        super().__init__(ErlangHost("qt-events-broker-"), startup_timeout=startup_timeout, settings=settings)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """Where all that is its own lies, its logs in `node/log/`, until it stops."""
        return self._host.folder

    def start(self) -> None:
        """Returns when the node takes AMQP connections and its management API answers.

        BrokerError with the end of its log if that takes longer than `startup_timeout`, or if no RabbitMQ is installed.
        """
        if self._host.is_open:
            raise BusStateError(f"{self.name} has been started already; stop() it first, or use restart()")
        rabbitmq_bin()
        self._host.open()
        try:
            self.launch()
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the node and its epmd at once and remove the folder. Stopping twice does nothing."""
        self.forget()
        self._host.close()
