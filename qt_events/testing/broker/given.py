"""GivenBroker: a RabbitMQ that somebody lends to the tests."""

from typing import Never
from urllib.parse import urlsplit

from qt_events.errors import InvalidUrlError, NotSupportedError
from qt_events.testing.broker.management import Management

BROKER_URL = "QT_EVENTS_TEST_BROKER_URL"
_MANAGEMENT_PORT = 15672


class GivenBroker:
    """A broker that somebody lends: tests make vhosts of their own in it and delete them again.

    `management_url` is by default port 15672 of the same host with the same user.
    """

    def __init__(self, url: str, management_url: str | None = None) -> None:
        if not _is_amqp(url):
            raise InvalidUrlError(
                f"{BROKER_URL} should look like amqp://user:password@host:5672//, not {_shown(url)}"
            )
        self.url = url
        self.management_url = management_url or _beside(url)
        self.management = Management(self.management_url, url)

    def kill(self) -> Never:
        self._refuse("kill")

    def restart(self) -> Never:
        self._refuse("restart")

    def suspend(self) -> Never:
        self._refuse("suspend")

    def resume(self) -> Never:
        self._refuse("resume")

    def block(self) -> Never:
        self._refuse("block")

    def unblock(self) -> Never:
        self._refuse("unblock")

    def rabbitmqctl(self, *arguments: str) -> Never:
        self._refuse(f"run rabbitmqctl {' '.join(arguments)} on")

    def _refuse(self, what: str) -> Never:
        raise NotSupportedError(
            f"tests may not {what} the broker that {BROKER_URL} lends: install rabbitmq-server"
        )


def _is_amqp(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"amqp", "amqps"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _shown(url: str) -> str:
    """Return scheme and host; the rest may hold a password, even where it is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that"
    return f"{parts.scheme}://{parts.hostname or ''}" if parts.scheme and parts.netloc else "that"


def _beside(url: str) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"http://{credentials}{at}{host}:{_MANAGEMENT_PORT}"
