"""create_event_bus(url): which backend a URL means. The heavy ones are imported when asked for."""

from collections.abc import Iterable
from importlib import import_module
from inspect import signature
from typing import Any, cast

from qt_events.bus import EventBus
from qt_events.errors import InvalidOptionError, InvalidUrlError
from qt_events.urls import scheme as scheme_of

_BACKENDS = {
    "memory": ("qt_events.memory", "InMemoryEventBus"),
    "amqp": ("qt_events.rabbitmq.bus", "CeleryEventBus"),
    "amqps": ("qt_events.rabbitmq.bus", "CeleryEventBus"),
}


def create_event_bus(url: str, **options: Any) -> EventBus:
    """The bus behind a URL: `memory://`, or RabbitMQ at `amqp://user:password@host:port/vhost` (`amqps` for TLS).

    `options` are those of the backend's class. Several AMQP URLs joined by `;` name the nodes of a cluster.

    Raises:
        InvalidUrlError: it is malformed, or no backend serves the scheme.
        InvalidOptionError: the backend has no such option, or not with that value.
    """
    scheme = scheme_of(url)
    if scheme not in _BACKENDS:
        shown = f"{scheme}://..." if scheme else f"without a scheme ({type(url).__name__})"
        # never the whole URL: it may hold a password
        message = f"no backend for the URL {shown}: use memory:// or amqp://user:password@host:port/vhost"
        raise InvalidUrlError(message)
    module, name = _BACKENDS[scheme]
    backend = getattr(import_module(module), name)
    _must_be_known(options, name, signature(backend).parameters.keys() - {"url", "app"})
    bus = backend(url, **options) if scheme != "memory" else backend(**options)
    return cast("EventBus", bus)


def _must_be_known(options: Iterable[str], backend: str, known: Iterable[str]) -> None:
    for option in options:
        if option not in known:
            message = f"{backend} has no option {option!r}; it has {', '.join(sorted(known))}"
            raise InvalidOptionError(message)
