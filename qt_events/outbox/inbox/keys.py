"""Keys: what an event is known by to an inbox."""

import inspect
from collections.abc import Callable
from typing import Any

from qt_events.databases.columns import index_text
from qt_events.delivery.subscribing.subscription import is_async
from qt_events.errors import InvalidOptionError
from qt_events.outbox.inbox.errors import InvalidKeyError

#: Bytes of UTF-8 of the longest business key.
LONGEST_KEY = 255

#: Source, and id there; of a business key, NO_SOURCE and the key.
Key = tuple[str, str]
#: No event has it.
NO_SOURCE = ""


def checked_key(key: object) -> Callable[[Any], str] | None:
    """Return `key` if it is a plain callable, or None. InvalidOptionError otherwise."""
    if key is None:
        return None
    if not callable(key) or is_async(key):
        raise InvalidOptionError(
            f"key={key!r:.200} must be a plain function that takes the event and returns a text, "
            "such as lambda event: event.payload.order_id"
        )
    return key


def key_of(event: Any, key: Callable[[Any], object] | None) -> Key:
    """Return what an event, or a raw event, is known by.

    Raises:
        InvalidKeyError: `key` returned no text, an empty one, or one that is too long.
    """
    if key is None:
        return index_text(event.source), index_text(event.id)
    found = key(event)
    if not isinstance(found, str):
        if inspect.iscoroutine(found):
            found.close()
        raise InvalidKeyError(
            f"key= returned {found!r:.100} for event {event.id:.100}, a {type(found).__name__}: "
            "return a str"
        )
    size = len(found.encode(errors="replace"))
    if not 0 < size <= LONGEST_KEY:
        raise InvalidKeyError(
            f"key= returned a text of {size:,} bytes for event {event.id:.100}: return 1 to "
            f"{LONGEST_KEY} bytes, such as a digest of it"
        )
    return NO_SOURCE, index_text(found)
