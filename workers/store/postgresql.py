"""PostgreSQL: a connection that gives up on a silent server. Imported when one is asked for, like its driver."""

from collections.abc import Generator
from time import monotonic
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy import event

T = TypeVar("T")

CONNECT_TIMEOUT = 5  # seconds
STATEMENT_TIMEOUT = 5.0  # seconds, locks included; the server itself ends what takes longer
SILENCE = STATEMENT_TIMEOUT + 1.0  # seconds; a server that lives has answered by then


class ImpatientConnection(psycopg.Connection[Any]):
    """One that waits for an answer for SILENCE, and is closed after that.

    libpq itself waits for ever: a server that is suspended, or gone behind a firewall, sends no end of connection, and
    neither TCP's keepalives nor `tcp_user_timeout` see anything amiss as long as its kernel acknowledges.
    """

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **options: Any) -> T:
        """What psycopg calls for every exchange with the server."""
        try:
            return super().wait(_until(monotonic() + SILENCE, gen), *arguments, **options)
        except _SilenceError as error:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server has not answered for {SILENCE:g} s"
            ) from error


class _SilenceError(Exception):
    """The time is over."""


def _until(deadline: float, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """The same generator, of what it waits for; psycopg wakes it ten times a second with nothing ready (0)."""
    try:
        waits_for = next(gen)
        while True:
            ready = yield waits_for
            if not ready and monotonic() > deadline:
                raise _SilenceError
            waits_for = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result


def make_engine(url: sa.URL, **options: Any) -> sa.Engine:
    """An engine of such connections."""
    limits = f"-c statement_timeout={STATEMENT_TIMEOUT * 1000:.0f}"
    arguments = {"connect_timeout": CONNECT_TIMEOUT, "options": limits}
    engine = sa.create_engine(url, connect_args=arguments, pool_pre_ping=True, **options)
    event.listen(engine, "do_connect", _connect)
    return engine


def _connect(
    _dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]
) -> ImpatientConnection:
    return ImpatientConnection.connect(*arguments, **options)
