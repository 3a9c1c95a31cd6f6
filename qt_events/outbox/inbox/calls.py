"""Calls: a handler called in a transaction, after the note that its event is handled."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from qt_events.delivery.outcome import DEDUPLICATED
from qt_events.delivery.subscribing.subscription import must_have_run
from qt_events.errors import InvalidHandlerError
from qt_events.outbox.inbox.keys import key_of
from qt_events.outbox.inbox.notes import note_of, noting
from qt_events.outbox.inbox.opening import Opening
from qt_events.outbox.inbox.pruning import Pruning
from qt_events.outbox.inbox.transaction import JOINED, HandlerSession, HandlerTransaction
from qt_events.outbox.inbox.wholeness import conflicts_retried, must_be_whole
from qt_events.outbox.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Inboxed:
    """Subscription and inbox: what all calls of one handler have in common."""

    subscription: str
    handler: Callable[[Any], Any]
    #: See Outgoing.
    bus: object
    outbox: Outbox
    key: Callable[[Any], str] | None
    pruning: Pruning
    opening: Opening

    @property
    def whose(self) -> str:
        """Beginning of an error's text."""
        return f"the handler of {self.subscription!r}"

    def note(self, event: Any) -> tuple[str, str, str]:
        """Return the parameters of the note about an event."""
        return note_of(self.subscription, key_of(event, self.key))

    def transaction(self, connection: Any, session: Any) -> HandlerTransaction:
        """Return the transaction as the handler sees it."""
        about = (self.subscription, self.bus, self.outbox)
        return HandlerTransaction(*about, connection, session)


class SyncCall:
    """Call of a plain handler, in the thread that it is called in."""

    def __init__(self, engine: sa.Engine, about: Inboxed) -> None:
        self._engine, self._about = engine, about
        self._noting = noting(engine.dialect)

    def __repr__(self) -> str:
        return repr(self._about.handler)

    def __call__(self, event: Any) -> object:
        """Handle an event, or return DEDUPLICATED."""
        about, engine = self._about, self._engine
        note = about.note(event)
        about.opening.open_sync(engine)
        with conflicts_retried(), engine.connect() as connection:
            begun = _begin(connection, self._noting, note)
            if begun is None:
                return DEDUPLICATED
            with HandlerSession(connection, join_transaction_mode=JOINED) as session:
                session.begun = begun
                with about.transaction(connection, session).lasting():
                    result: object = about.handler(event)
                    _must_be_plain(about.handler, result)
                    _commit(connection, session, about.whose)
        if about.pruning.is_due():
            about.pruning.prune(engine)
        return result


class AsyncCall:
    """Call of an async handler, on the loop that it is called on."""

    def __init__(self, engine: AsyncEngine, about: Inboxed) -> None:
        self._engine, self._about = engine, about
        self._noting = noting(engine.dialect)

    def __repr__(self) -> str:
        return repr(self._about.handler)

    async def __call__(self, event: Any) -> object:
        """Handle an event, or return DEDUPLICATED."""
        about, engine = self._about, self._engine
        note = about.note(event)
        await about.opening.open(engine)
        with conflicts_retried():
            async with engine.connect() as connection:
                begun = await connection.run_sync(_begin, self._noting, note)
                if begun is None:
                    return DEDUPLICATED
                result = await self._handle(event, connection, begun)
        if about.pruning.is_due():
            await about.pruning.prune_async(engine)
        return result

    async def _handle(
        self, event: Any, connection: AsyncConnection, begun: sa.Transaction
    ) -> object:
        about = self._about
        # Not closed after an error: the connection is, and nothing else is open in it.
        session = AsyncSession(
            connection, sync_session_class=HandlerSession, join_transaction_mode=JOINED
        )
        sync: Any = session.sync_session
        sync.begun = begun
        with about.transaction(connection, session).lasting():
            result: object = await about.handler(event)
            must_have_run(about.handler, result)
            # All at once, for each call into SQLAlchemy's sync side has its price.
            await connection.run_sync(_commit, sync, about.whose)
        return result


def _begin(
    connection: sa.Connection, statement: str, note: tuple[str, str, str]
) -> sa.Transaction | None:
    """Begin a transaction by its note, or return None: the event was handled before.

    The note is the first statement: whoever handles the same event meanwhile waits there.
    """
    begun = connection.begin()
    if connection.exec_driver_sql(statement, note).first() is not None:
        return begun
    begun.rollback()
    return None


def _commit(connection: sa.Connection, session: HandlerSession, whose: str) -> None:
    """Write what is pending, and commit, if nothing of the transaction is lost by then."""
    # Closing the session would roll a savepoint back that the handler has left open.
    while (nested := session.get_nested_transaction()) is not None:
        nested.commit()
    session.flush()
    begun = session.begun
    session.close()
    must_be_whole(whose, begun, connection)
    begun.commit()


def _must_be_plain(handler: object, result: object) -> None:
    """Refuse what is still to be run: by then the transaction would be over."""
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise InvalidHandlerError(
            f"{handler!r} returned {result!r}, to be awaited after its transaction: write it as "
            "async def, and give Inbox an AsyncEngine"
        )
    must_have_run(handler, result)
