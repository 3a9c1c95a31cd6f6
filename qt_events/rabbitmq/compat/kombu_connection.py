"""KombuConnection: kombu's Connection with public hooks in place of private methods."""

from contextlib import suppress
from typing import Any

import kombu
from amqp import Connection as RawConnection

from qt_events.rabbitmq.compat.names import CONNECTING, are_there

are_there(CONNECTING)


class KombuConnection(kombu.Connection):
    """Calls `establish`, `tls_for`, `must_be_usable`, `hears_goodbye` where kombu acts by itself.

    kombu 5.7 has a URL without a port or a vhost inherit those of the one before it. Here each of
    several URLs means what it says.
    """

    def tls_for(self, host: str, ssl: Any, transport: Any) -> Any:
        """Return the TLS options for one host, given those of the app and the URL's scheme."""
        raise NotImplementedError

    def establish(self) -> RawConnection:
        """Return a new connection to the present host."""
        raise NotImplementedError

    def must_be_usable(self) -> None:
        """Raise an error if kombu must not connect again by itself."""

    def hears_goodbye(self) -> bool:
        """Return False if nobody should wait for the broker's answer to a goodbye."""
        return True

    def _init_params(self, hostname: str | None, ssl: Any, transport: Any, **others: Any) -> None:
        self.port, self.virtual_host = None, "/"
        chosen = self.tls_for(hostname or "localhost", ssl, transport)
        super()._init_params(hostname=hostname, ssl=chosen, transport=transport, **others)

    def _info(self, resolve: bool = True) -> Any:  # noqa: FBT001, FBT002  # kombu's
        """Return what clones are made of: the app's TLS options, not those for one host."""
        given = self._initial_params["ssl"]
        info = super()._info(resolve)
        return tuple((name, given if name == "ssl" else value) for name, value in info)

    def _establish_connection(self) -> RawConnection:
        return self.establish()

    def _ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        self.must_be_usable()
        return super()._ensure_connection(*args, **kwargs)

    def _close(self) -> None:
        # A channel that the broker has closed may get something more: py-amqp looks for it in vain.
        with suppress(KeyError):
            if self.hears_goodbye():
                super()._close()
                return
        self.collect()
