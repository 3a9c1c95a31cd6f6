"""Lease: claims where there are no advisory locks. One relay at a time sends, the others wait.

The holder counts up. Another relay takes the lease over when the count has stood still for a while
by its own monotonic clock: no clock of the wall is asked, so one that jumps breaks nothing. On the
same machine it also looks whether the holder's process is there.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

import sqlalchemy as sa

from qt_events.outbox.errors import OutboxError
from qt_events.outbox.relaying.claiming import Send, Settled
from qt_events.outbox.relaying.marking import mark
from qt_events.outbox.rows import WAITING_COLUMNS, Waiting
from qt_events.outbox.tables import events, leases
from qt_events.outbox.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Seconds without a beat after which a lease is taken over, and seconds between two beats.
LEASE, BEAT = 5.0, 1.0
_NAME = "relay"
_WAITS = sa.text("state = 0")
_OURS = leases.c.name == _NAME


class Lease:
    """See Claims."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._token = f"{_process()} {uuid4().hex}"
        # When it was counted up last.
        self._beaten = 0.0
        # What the holder was seen to have, and since when.
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    async def turn(self, send: Send, limit: int) -> Settled | None:
        """See Claims."""
        rows = await self._transactions.run(partial(self._take, limit))
        if not rows:
            return None
        async with self._beating():
            settled = await send(rows)
        # Also if the lease is lost meanwhile: what was sent, was sent.
        await self._transactions.run(partial(mark, settled=settled))
        return settled

    async def leave(self) -> None:
        """See Claims."""
        await self._transactions.run(self._give_up)

    def _take(self, limit: int, connection: sa.Connection) -> Sequence[Waiting]:
        if not self._hold(connection):
            return []
        chosen = sa.select(*WAITING_COLUMNS).where(_WAITS).order_by(events.c.sequence)
        return [Waiting(*row) for row in connection.execute(chosen.limit(limit))]

    # Hold it

    def _hold(self, connection: sa.Connection) -> bool:
        """Return True if this relay has the lease, or gets it now."""
        found = connection.execute(sa.select(leases.c.token, leases.c.beats).where(_OURS)).first()
        if found is None:
            connection.execute(sa.insert(leases).values(name=_NAME, token=self._token, beats=0))
        elif found.token != self._token and not self._is_over(found.token, found.beats):
            return False
        elif found.token != self._token or monotonic() - self._beaten >= BEAT:
            connection.execute(
                sa.update(leases).where(_OURS).values(token=self._token, beats=found.beats + 1)
            )
        else:
            return True
        self._beaten = monotonic()
        return True

    def _is_over(self, token: str, beats: int) -> bool:
        if (token, beats) != self._seen:
            self._seen, self._since = (token, beats), monotonic()
        return _is_gone(token) or monotonic() - self._since >= LEASE

    def _give_up(self, connection: sa.Connection) -> None:
        connection.execute(sa.delete(leases).where(_OURS, leases.c.token == self._token))

    @asynccontextmanager
    async def _beating(self) -> "AsyncIterator[None]":
        """Count up while events are being sent."""
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            # Without the database there is no other holder either.
            with suppress(OutboxError):
                await self._transactions.run(self._hold)


def _process() -> str:
    """Name this process; "?" where another one could not look for it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}/{os.getpid()}"
    except OSError:
        return "?"


def _is_gone(token: str) -> bool:
    """Tell whether a lease's process is surely not there any more."""
    machine, _, pid = token.partition(" ")[0].rpartition("/")
    if not machine or machine != _process().rpartition("/")[0]:
        return False
    try:
        # The name before it may have any letters, brackets too.
        state = Path("/proc", pid, "stat").read_bytes().rpartition(b") ")[2][:1]
    except OSError:
        return True
    # Killed, and its parent has not looked yet.
    return state in {b"Z", b"X"}
