"""Parts of kombu's event loop and of Celery's loop around it that have no public name."""

from collections.abc import Callable
from typing import Any

from celery.worker import loops
from kombu.asynchronous import Hub

from qt_events.rabbitmq.compat.names import FIRST_MESSAGES, POLLING, are_there

_CAN_POLL = are_there(POLLING)
_KNOWS_DRAIN = are_there(FIRST_MESSAGES)


def descriptor_of(poller: Any) -> int | None:
    """Return a descriptor that is readable when one of those is that the poller watches.

    None if there is none: without epoll (Linux), or in another version of kombu.
    """
    epoll = getattr(poller, "_epoll", None) if _CAN_POLL else None
    return None if epoll is None else int(epoll.fileno())


def has_callbacks(hub: Hub) -> bool:
    """Return True if another cycle of the hub has something to do at once, as far as is known."""
    return _CAN_POLL and bool(hub._ready)  # noqa: SLF001


def waits_for_first_messages(callback: Callable[..., Any]) -> bool:
    """Return True for the function by which Celery reads for 0.1 s once it has connected."""
    return _KNOWS_DRAIN and callback is loops._quick_drain  # noqa: SLF001
