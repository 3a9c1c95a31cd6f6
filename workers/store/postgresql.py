"""PostgreSQL connections that give up on a silent server. Imported with its driver, when needed."""

from collections.abc import Generator
from time import monotonic
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy import event

T = TypeVar("T")

#: Seconds.
CONNECT_TIMEOUT = 5
#: Seconds for a statement and its locks; the server itself ends one that takes longer.
STATEMENT_TIMEOUT = 5.0
#: Seconds in which a server that works has answered.
SILENCE = STATEMENT_TIMEOUT + 1.0


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that waits SILENCE seconds for an answer, and is then closed.

    libpq itself waits for ever. A server that is suspended, or gone behind a firewall, sends no
    end of connection; TCP keepalives and `tcp_user_timeout` see nothing wrong as long as its
    kernel acknowledges.
    """

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **options: Any) -> T:
        """Wait for one exchange with the server; psycopg calls it for each."""
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
    """Yield from a psycopg generator until a deadline.

    psycopg wakes it ten times a second with nothing ready (0).
    """
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
    """Return an engine of such connections."""
    limits = f"-c statement_timeout={STATEMENT_TIMEOUT * 1000:.0f}"
    arguments = {"connect_timeout": CONNECT_TIMEOUT, "options": limits}
    engine = sa.create_engine(url, connect_args=arguments, pool_pre_ping=True, **options)
    event.listen(engine, "do_connect", _connect)
    return engine


def _connect(
    _dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]
) -> ImpatientConnection:
    return ImpatientConnection.connect(*arguments, **options)
