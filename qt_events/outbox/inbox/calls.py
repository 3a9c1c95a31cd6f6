"""Calls: a handler called in a transaction, after the note that its event is handled."""

import inspect
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from qt_events.delivery.outcome import DEDUPLICATED
from qt_events.delivery.subscribing.subscription import must_have_run
from qt_events.errors import InvalidHandlerError
from qt_events.outbox.inbox.keys import Key, key_of
from qt_events.outbox.inbox.notes import note_of, noting
from qt_events.outbox.inbox.pruning import Pruning
from qt_events.outbox.inbox.transaction import JOINED, HandlerSession, HandlerTransaction
from qt_events.outbox.inbox.wholeness import conflicts_retried, must_be_whole
from qt_events.outbox.outbox import Outbox


class _Call:
    """What both kinds of calls have. The note is the first statement, so all of it is one wait."""

    def __init__(
        self,
        subscription: str,
        handler: Callable[[Any], Any],
        bus: object,
        outbox: Outbox,
        key: Callable[[Any], str] | None,
        pruning: Pruning,
    ) -> None:
        self._subscription, self._handler, self._bus = subscription, handler, bus
        self._outbox, self._key, self._pruning = outbox, key, pruning
        self._whose = f"the handler of {subscription!r}"

    def __repr__(self) -> str:
        return repr(self._handler)

    def _note(self, event: Any) -> dict[str, str]:
        key: Key = key_of(event, self._key)
        return note_of(self._subscription, key)

    def _transaction(self, session: Any) -> HandlerTransaction:
        return HandlerTransaction(self._bus, self._outbox, self._subscription, session)


class SyncCall(_Call):
    """Call of a plain handler, in the thread that it is called in."""

    def __init__(self, engine: sa.Engine, *about: Any) -> None:
        super().__init__(*about)
        self._engine, self._noting = engine, noting(engine.dialect.name)

    def __call__(self, event: Any) -> object:
        """Handle an event, or return DEDUPLICATED."""
        note = self._note(event)
        self._outbox.open_sync()
        with conflicts_retried(), self._engine.connect() as connection, connection.begin() as begun:
            if not connection.execute(self._noting, note).rowcount:
                return DEDUPLICATED
            result = self._handle(event, connection, begun)
        if self._pruning.is_due():
            self._pruning.prune(self._engine)
        return result

    def _handle(self, event: Any, connection: sa.Connection, begun: sa.Transaction) -> object:
        with HandlerSession(connection, join_transaction_mode=JOINED) as session:
            session.begun = begun
            with self._transaction(session).lasting():
                result = self._handler(event)
                _must_be_plain(self._handler, result)
                session.flush()
            must_be_whole(self._whose, connection, begun)
        return result


class AsyncCall(_Call):
    """Call of an async handler, on the loop that it is called on."""

    def __init__(self, engine: AsyncEngine, *about: Any) -> None:
        super().__init__(*about)
        self._engine, self._noting = engine, noting(engine.dialect.name)

    async def __call__(self, event: Any) -> object:
        """Handle an event, or return DEDUPLICATED."""
        note = self._note(event)
        await self._outbox.open()
        with conflicts_retried():
            async with self._engine.connect() as connection, connection.begin():
                if not (await connection.execute(self._noting, note)).rowcount:
                    return DEDUPLICATED
                result = await self._handle(event, connection)
        if self._pruning.is_due():
            await self._pruning.prune_async(self._engine)
        return result

    async def _handle(self, event: Any, connection: AsyncConnection) -> object:
        begun = connection.sync_connection.get_transaction()  # type: ignore[union-attr]
        assert begun is not None  # noqa: S101
        async with AsyncSession(
            connection, sync_session_class=HandlerSession, join_transaction_mode=JOINED
        ) as session:
            session.sync_session.begun = begun  # type: ignore[attr-defined]
            with self._transaction(session).lasting():
                result: object = await self._handler(event)
                must_have_run(self._handler, result)
                await session.flush()
            await connection.run_sync(lambda sync: must_be_whole(self._whose, sync, begun))
        return result


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
