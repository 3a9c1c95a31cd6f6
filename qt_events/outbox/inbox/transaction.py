"""HandlerTransaction: the transaction of one call, as its handler sees it: current_inbox()."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Session

from qt_events.delivery.transacting.outgoing import (
    bind_outgoing,
    current_outgoing,
    release_outgoing,
)
from qt_events.errors import NotSupportedError
from qt_events.events.event import Event
from qt_events.outbox.inbox.errors import (
    BrokenTransactionError,
    NoInboxError,
    TransactionOverError,
)
from qt_events.outbox.outbox import Outbox

#: commit() writes what is pending and commits nothing; rollback() rolls all of it back.
JOINED: Literal["rollback_only"] = "rollback_only"


class HandlerSession(Session):
    """Session within a transaction that was begun for it, and in no other one."""

    begun: sa.Transaction


@sqlalchemy_event.listens_for(HandlerSession, "after_begin")
def _refuse_another(session: HandlerSession, _: object, connection: sa.Connection) -> None:
    # After a rollback it would begin a transaction of its own, without the note.
    if not session.begun.is_active or connection.get_transaction() is None:
        raise BrokenTransactionError(
            "the transaction of this handler was rolled back, with its note: nothing more can be "
            "done in it. Raise an error, for the event to be handled again, or try what may fail "
            "in a savepoint: `with session.begin_nested():`"
        )


class HandlerTransaction:
    """Transaction in which one handler handles one event. It ends with the handler."""

    def __init__(
        self, subscription: str, bus: object, outbox: Outbox, connection: Any, session: Any
    ) -> None:
        self.subscription, self.bus = subscription, bus
        self._outbox, self._connection, self._session = outbox, connection, session
        self._is_over = False

    @property
    def session(self) -> Any:
        """Session of the handler: a Session, or an AsyncSession in an async handler.

        What is done in it is committed when the handler returns, and rolled back when it raises.
        commit() only writes what is pending. It is for the handler alone: not for tasks or threads
        beside it.

        Raises:
            TransactionOverError: the handler has ended.
        """
        self._must_last()
        return self._session

    # The connection, for a session begins by its first statement: what is published before that
    # belongs to the same transaction.

    async def take(self, event: Event[Any]) -> None:
        """See Outgoing: the event is published when the transaction is committed."""
        self._must_last()
        added = self._outbox.add(self._connection, event)
        if isinstance(self._connection, AsyncConnection):
            await added

    def take_sync(self, event: Event[Any]) -> None:
        """See Outgoing.

        Raises:
            NotSupportedError: the handler is async.
        """
        self._must_last()
        if isinstance(self._connection, AsyncConnection):
            raise NotSupportedError(
                f"the handler of {self.subscription!r} is async, and so is its transaction: write "
                "`await bus.publish(event)` in it instead of publish_sync()"
            )
        self._outbox.add(self._connection, event)

    def _must_last(self) -> None:
        if self._is_over:
            raise TransactionOverError(
                f"the handler of {self.subscription!r} has ended, and its transaction with it: "
                "await what it starts before it returns; a task that is to outlive it begins with "
                "asyncio.create_task(..., context=contextvars.Context())"
            )

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """Be the transaction of this context until the end of the block."""
        token = bind_outgoing(self)
        try:
            yield
        finally:
            self._is_over = True
            release_outgoing(token)


def current_inbox() -> HandlerTransaction:
    """Return the transaction of the handler that runs here.

    Raises:
        NoInboxError: no handler runs here whose subscription has an inbox.
    """
    here = current_outgoing()
    if not isinstance(here, HandlerTransaction):
        raise NoInboxError(
            "no handler with an inbox runs here: subscribe it with inbox=Inbox(engine), and call "
            "current_inbox() in it, or in what it calls"
        )
    return here
