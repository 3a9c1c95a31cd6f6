"""Inbox: what a subscription is given so that each event takes effect once."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from qt_events.delivery.subscribing.subscription import is_async
from qt_events.limits import positive_seconds, seconds_up_to
from qt_events.outbox.errors import WrongEngineError
from qt_events.outbox.inbox.calls import AsyncCall, Inboxed, SyncCall
from qt_events.outbox.inbox.keys import checked_key
from qt_events.outbox.inbox.opening import Opening
from qt_events.outbox.inbox.pruning import Pruning
from qt_events.outbox.outbox import Outbox

#: Seconds after which a note is removed, unless an inbox is told otherwise.
WINDOW = 7 * 86_400.0
_LONGEST_WINDOW = 100 * 366 * 86_400.0
_PLAIN = (
    "is a plain function, and runs in a thread, where an AsyncEngine is of no use: give Inbox an "
    "engine by sqlalchemy.create_engine(url), or write the handler as async def"
)
_ASYNC = (
    "is async, and an Engine would block its event loop: give Inbox one by "
    "sqlalchemy.ext.asyncio.create_async_engine(url), such as postgresql+psycopg or "
    "sqlite+aiosqlite, or write the handler as a plain function"
)


class Inbox:
    """Commits a handler's effects in one transaction with a note that its event was handled.

    Give it to `subscribe(..., inbox=Inbox(engine))`, and work in `current_inbox().session`. What
    comes again, by a redelivery, a retry after a crash, a replay or a second publish, is
    acknowledged without the handler, and counted as `deduplicated`. What the handler publishes goes
    through the outbox of the same transaction, so a relay must run; see docs/inbox.md.

    Args:
        engine: of PostgreSQL or SQLite; an AsyncEngine for async handlers. Its pool needs as many
            connections as handlers run at a time. Nothing is opened before the first event.
        key: returns what an event is known by, a text of 1 to 255 bytes; by default its source and
            id. Of two events with one key the second is not handled.
        window: seconds, up to a hundred years, after which a note is removed; seven days if left
            out. A duplicate that comes later is handled again.

    Raises:
        WrongEngineError: `engine` is none, or of another database.
        InvalidOptionError: `key` is no plain function, or `window` out of its range.
    """

    # Errors and logs name it by its public path.
    __module__ = "qt_events.outbox"

    def __init__(
        self,
        engine: sa.Engine | AsyncEngine,
        *,
        key: Callable[[Any], str] | None = None,
        window: float = WINDOW,
    ) -> None:
        if not isinstance(engine, sa.Engine | AsyncEngine):
            raise WrongEngineError(
                f"Inbox takes an engine, not a {type(engine).__name__}: pass what "
                "sqlalchemy.create_engine(url) or create_async_engine(url) returns"
            )
        self._engine, self._key = engine, checked_key(key)
        self._window = seconds_up_to("window", positive_seconds("window", window), _LONGEST_WINDOW)
        #: Takes what handlers publish: run its relay, `async with inbox.outbox.relay(bus)`.
        self.outbox = Outbox(engine)
        self._opening = Opening(self.outbox)

    def __repr__(self) -> str:
        return f"Inbox({self._engine!r})"

    def around(
        self, subscription: str, handler: Callable[[Any], object], bus: object
    ) -> Callable[[Any], object]:
        """See qt_events.delivery.transacting.inbox.

        Raises:
            WrongEngineError: the handler is async and the engine is not, or the other way round.
        """
        pruning = Pruning(subscription, self._window)
        about = Inboxed(subscription, handler, bus, self.outbox, self._key, pruning, self._opening)
        whose = f"{handler!r} of subscription {subscription!r}"
        if isinstance(self._engine, AsyncEngine):
            if not is_async(handler):
                raise WrongEngineError(f"{whose} {_PLAIN}")
            return AsyncCall(self._engine, about)
        if is_async(handler):
            raise WrongEngineError(f"{whose} {_ASYNC}")
        return SyncCall(self._engine, about)
