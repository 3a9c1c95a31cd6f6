"""create_event_bus(url): which backend a URL means. The heavy ones are imported when asked for."""

from importlib import import_module
from typing import Any, cast
from urllib.parse import urlsplit

from qt_events.bus import EventBus
from qt_events.errors import InvalidUrlError

_BACKENDS = {
    "memory": ("qt_events.memory", "InMemoryEventBus"),
    "amqp": ("qt_events.rabbitmq.bus", "CeleryEventBus"),
    "amqps": ("qt_events.rabbitmq.bus", "CeleryEventBus"),
}


def create_event_bus(url: str, **options: Any) -> EventBus:
    """The bus behind a URL: `memory://`, or RabbitMQ at `amqp://user:password@host:port/vhost` (`amqps` for TLS).

    `options` are those of the backend's class. Several AMQP URLs joined by `;` name the nodes of a cluster.

    Raises:
        InvalidUrlError: no backend serves the scheme.
    """
    scheme = urlsplit(url).scheme if isinstance(url, str) else ""
    if scheme not in _BACKENDS:
        shown = f"{scheme}://..." if scheme else repr(url)  # never the whole: it may hold a password
        message = f"no backend for the URL {shown}: use memory:// or amqp://user:password@host:port/vhost"
        raise InvalidUrlError(message)
    module, name = _BACKENDS[scheme]
    backend = getattr(import_module(module), name)
    bus = backend(url, **options) if scheme != "memory" else backend(**options)
    return cast("EventBus", bus)
