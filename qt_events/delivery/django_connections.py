"""Django's database connections, looked after around each handler as around each of its requests.

Django closes a connection that broke or is too old when a request begins and when one ends. No
request comes by here, so a connection that was cut would fail every later event.

Django's async ORM has one thread for all. No async handler waits for it while this process has made
no connection.
"""

import logging
import sys
from copy import copy
from functools import partial
from typing import Any

from qt_events.delivery.subscribing.subscription import EventHandler, Subscription
from qt_events.events.event import Event

logger = logging.getLogger("qt_events")

#: Module that is imported where there may be such connections.
DATABASES = "django.db"


def looked_after(subscription: Subscription) -> Subscription:
    """Return the subscription with a handler around which old connections are closed."""
    if not _is_configured():
        return subscription
    view = copy(subscription)
    around = _around_async if subscription.is_async else _around_sync
    view.called = partial(around, subscription.called)
    return view


def in_its_thread(subscription: Subscription, handler: EventHandler) -> EventHandler:
    """Return the same for a plain handler that middleware calls, in a thread of its own."""
    if subscription.is_async or DATABASES not in sys.modules or not _is_configured():
        return handler
    return partial(_around_sync, handler)


def _is_configured() -> bool:
    conf = sys.modules.get("django.conf")
    return conf is not None and bool(conf.settings.configured)


def _around_sync(handler: EventHandler, event: Event[Any]) -> object:
    """Call a handler in its thread, to which its connections belong."""
    _close_old()
    try:
        return handler(event)
    finally:
        _close_old()


async def _around_async(handler: Any, event: Event[Any]) -> object:
    """Await a handler. Its connections belong to the thread in which Django's async ORM works."""
    await _close_old_there()
    try:
        result = await handler(event)
    # Not after a cancellation: whoever asked for it does not wait.
    except Exception:
        await _close_old_there()
        raise
    await _close_old_there()
    return result


async def _close_old_there() -> None:
    from asgiref.sync import sync_to_async  # noqa: PLC0415  # Django brings it

    if _made.is_watching and not _made.any:
        return
    await sync_to_async(_close_old, thread_sensitive=True)()


class _ConnectionsMade:
    """Note that this process has made a connection to a database."""

    def __init__(self) -> None:
        self.is_watching = self.any = False

    def watch(self) -> None:
        """Begin, in a thread that may have some already."""
        from django.db.backends.signals import connection_created  # noqa: PLC0415  # it is imported

        connection_created.connect(self._note, weak=False)
        found = sys.modules[DATABASES].connections.all(initialized_only=True)
        self.any |= any(each.connection is not None for each in found)
        self.is_watching = True

    def _note(self, **_: object) -> None:
        self.any = True


_made = _ConnectionsMade()


def _close_old() -> None:
    """Close this thread's connections that broke or are too old. The event is none the worse."""
    try:
        if not _made.is_watching:
            _made.watch()
        sys.modules[DATABASES].close_old_connections()
    except Exception:
        logger.exception("a database connection of Django's could not be closed")
