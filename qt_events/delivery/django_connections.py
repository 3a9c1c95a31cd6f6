"""Django's database connections, looked after around each handler as around each of its requests.

Django closes a connection that broke or is too old when a request begins and when one ends. No
request comes by here, so a connection that was cut would fail every later event.
"""

import logging
import sys
from copy import copy
from functools import partial
from typing import Any

from qt_events.delivery.subscription import EventHandler, Subscription
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
    view.handler = partial(around, subscription.handler)
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
    from asgiref.sync import sync_to_async  # noqa: PLC0415  # Django brings it

    close_old = sync_to_async(_close_old, thread_sensitive=True)
    await close_old()
    try:
        result = await handler(event)
    # Not after a cancellation: whoever asked for it does not wait.
    except Exception:
        await close_old()
        raise
    await close_old()
    return result


def _close_old() -> None:
    """Close this thread's connections that broke or are too old. The event is none the worse."""
    try:
        sys.modules[DATABASES].close_old_connections()
    except Exception:
        logger.exception("a database connection of Django's could not be closed")
