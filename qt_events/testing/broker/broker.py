"""Broker: a RabbitMQ for tests, a private node or one that somebody lends."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Never, Protocol
from urllib.parse import urlsplit

from qt_events.errors import BrokerError, InvalidUrlError, NotSupportedError
from qt_events.testing.broker.installed import installed_rabbitmq
from qt_events.testing.broker.management import Management
from qt_events.testing.broker.private import PrivateBroker

BROKER_URL = "QT_EVENTS_TEST_BROKER_URL"
MANAGEMENT_URL = "QT_EVENTS_TEST_MANAGEMENT_URL"
ADVICE = (
    "no RabbitMQ for the tests: install rabbitmq-server 3.10 or later (with Erlang), "
    "or name a broker that tests may fill and empty: "
    f"{BROKER_URL}=amqp://user:password@host:5672//"
)
_MANAGEMENT_PORT = 15672


class Broker(Protocol):
    """A RabbitMQ for tests. Only a PrivateBroker does harm; a given one raises NotSupportedError.

    Every call blocks: milliseconds for signals and alarms, a second for `rabbitmqctl`, several for
    a restart.
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


def _forbidden(action: str) -> Callable[..., Never]:
    """Make a method that refuses its call; `{}` stands for the call's arguments."""

    def refuse(_: object, *arguments: str) -> Never:
        raise NotSupportedError(
            f"tests may not {action.format(' '.join(arguments))} the broker that {BROKER_URL} "
            "lends: install rabbitmq-server"
        )

    return refuse


class GivenBroker:
    """A broker that somebody lends: tests make vhosts of their own in it and delete them again.

    `management_url` is by default port 15672 of the same host with the same user.
    """

    def __init__(self, url: str, management_url: str | None = None) -> None:
        if not _is_amqp(url):
            raise InvalidUrlError(
                f"{BROKER_URL} should look like amqp://user:password@host:5672//, "
                f"not {_without_password(url)}"
            )
        self.url = url
        self.management_url = management_url or _management_url(url)
        self.management = Management(self.management_url, url)

    kill = _forbidden("kill")
    restart = _forbidden("restart")
    suspend = _forbidden("suspend")
    resume = _forbidden("resume")
    block = _forbidden("block")
    unblock = _forbidden("unblock")
    rabbitmqctl = _forbidden("run rabbitmqctl {} on")


@contextmanager
def open_broker(settings: Mapping[str, str] | None = None) -> Iterator[Broker]:
    """Open a broker for the tests of one process: a private one, which ends afterwards, or a lent.

    `settings` are more lines for the rabbitmq.conf of a private one.

    Raises:
        BrokerError: there is none, with advice: tests that need a broker fail, they do not skip.
    """
    if installed_rabbitmq() is not None:
        with PrivateBroker(settings=settings) as broker:
            yield broker
    elif url := os.environ.get(BROKER_URL):
        yield GivenBroker(url, os.environ.get(MANAGEMENT_URL))
    else:
        raise BrokerError(ADVICE)


def _is_amqp(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"amqp", "amqps"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _without_password(url: str) -> str:
    """Return scheme and host; the rest may hold a password, even where it is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that"
    return f"{parts.scheme}://{parts.hostname or ''}" if parts.scheme and parts.netloc else "that"


def _management_url(url: str) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"http://{credentials}{at}{host}:{_MANAGEMENT_PORT}"
