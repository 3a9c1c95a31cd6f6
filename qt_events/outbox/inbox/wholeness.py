"""Wholeness: a handler's transaction is still the one that its note was written in."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from random import random
from typing import Any

import sqlalchemy as sa

from qt_events.events.current import current_attempt
from qt_events.outbox.inbox.errors import BrokenTransactionError, TransactionConflict

# libpq's PQTRANS_INTRANS: in a transaction, and no statement of it has failed.
_IN_TRANSACTION = 2
_ROLLED_BACK = (
    "{whose} returned, but its transaction was rolled back meanwhile: nothing of it is kept, and "
    "the event is not noted as handled. Let the error leave the handler, or try what may fail in a "
    "savepoint: `with session.begin_nested():`"
)
_ENDED = (
    "{whose} ended its transaction by itself: leave COMMIT and ROLLBACK to the inbox, and publish, "
    "raise or return instead"
)
#: serialization_failure, deadlock_detected, lock_not_available
_CONFLICTS = {"40001", "40P01", "55P03"}
_FIRST_DELAY, _LONGEST_DELAY, _FACTOR = 0.05, 5.0, 2.0


def must_be_whole(whose: str, begun: sa.Transaction, connection: sa.Connection) -> None:
    """Look whether a commit would keep all that was done since `begun`, the note included.

    PostgreSQL answers the COMMIT of a failed transaction by a rollback, without an error.

    Raises:
        BrokenTransactionError: it would not.
    """
    if not begun.is_active or connection.get_transaction() is not begun:
        raise BrokenTransactionError(_ROLLED_BACK.format(whose=whose))
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        # A full disk, among others, rolls back by itself.
        if not driver.in_transaction:
            raise BrokenTransactionError(_ENDED.format(whose=whose))
        return
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    if status is None:
        # Another driver than psycopg: a failed transaction takes no statement.
        _try(whose, connection)
    elif status != _IN_TRANSACTION:
        text = _ENDED if status == 0 else _ROLLED_BACK
        raise BrokenTransactionError(text.format(whose=whose))


def _try(whose: str, connection: sa.Connection) -> None:
    try:
        connection.exec_driver_sql("SELECT 1")
    except sa.exc.DBAPIError as error:
        raise BrokenTransactionError(_ROLLED_BACK.format(whose=whose)) from error


@contextmanager
def conflicts_retried() -> Iterator[None]:
    """Turn what the database says of a conflict with another transaction into a retry."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        if not is_conflict(error):
            raise
        text = " ".join(str(error.orig).split())
        raise TransactionConflict(
            _delay(), f"another transaction was in the way: {text}"
        ) from error


def is_conflict(error: sa.exc.DBAPIError) -> bool:
    """Tell whether the same transaction, begun again, may well succeed."""
    cause: Any = error.orig
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        # Extended codes have more bits.
        return code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state in _CONFLICTS


def _delay() -> float:
    """Return seconds that grow with the attempts, and differ: else they would meet again."""
    here = current_attempt()
    attempt = 1 if here is None else here[2]
    longest: float = min(_FIRST_DELAY * _FACTOR**attempt, _LONGEST_DELAY)
    return longest * (1 + random())
