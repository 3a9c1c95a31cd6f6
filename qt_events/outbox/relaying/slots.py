"""Slots: claims on PostgreSQL, held by advisory locks of one transaction.

A key falls into one slot. Locks go with the transaction, so a relay that is killed holds nothing,
and what it had sent but not marked goes again.
"""

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from qt_events.outbox.relaying.claiming import Send, Settled
from qt_events.outbox.relaying.marking import mark
from qt_events.outbox.rows import WAITING_COLUMNS, Waiting
from qt_events.outbox.tables import SLOTS, events
from qt_events.outbox.transactions import Transactions

#: Slots of one turn, at most: others can have the rest.
MOST = 16
#: Any number, the same in all processes: the class of the advisory locks.
_CLASS = 7_105_716

# A relay that is gone without a word, with its machine, keeps its locks for so long. Slots are
# taken in any order, so that none is left behind.
_TAKE = sa.text(
    "WITH patience AS MATERIALIZED ("
    "SELECT set_config('idle_in_transaction_session_timeout', :patience, true)), "
    "waiting AS MATERIALIZED ("
    "SELECT s.slot FROM patience, generate_series(0, :last) AS s(slot) WHERE EXISTS "
    "(SELECT 1 FROM outbox_events e WHERE e.slot = s.slot AND e.state = 0) ORDER BY random()) "
    "SELECT slot FROM waiting WHERE pg_try_advisory_xact_lock(CAST(:class AS integer), slot) "
    "LIMIT :most"
).bindparams(sa.bindparam("last", SLOTS - 1), sa.bindparam("class", _CLASS), most=MOST)


class Slots:
    """See Claims. `patience`: seconds after which a relay that says nothing loses its slots."""

    def __init__(self, transactions: Transactions, patience: float) -> None:
        self._transactions = transactions
        self._patience = str(int(patience * 1000))

    async def turn(self, send: Send, limit: int) -> Settled | None:
        """See Claims."""
        async with self._transactions.begin() as run:
            rows = await run(partial(self._take, limit))
            if not rows:
                return None
            settled = await send(rows)
            await run(partial(mark, settled=settled))
            return settled

    def _take(self, limit: int, connection: sa.Connection) -> Sequence[Waiting]:
        found = connection.scalars(_TAKE, {"patience": self._patience}).all()
        if not found:
            return []
        # In a statement of its own: its snapshot has what the last holder of a slot has marked.
        each = sa.func.unnest(sa.literal(found, sa.ARRAY(sa.SmallInteger))).table_valued("slot")
        each = each.render_derived()
        inner = (
            sa.select(*WAITING_COLUMNS)
            .where(events.c.slot == each.c.slot, sa.text("state = 0"))
            .order_by(events.c.sequence)
            .limit(max(1, limit // len(found)))
            .lateral()
        )
        chosen = sa.select(inner).select_from(each.join(inner, sa.true()))
        return [Waiting(*row) for row in connection.execute(chosen.order_by(inner.c.sequence))]

    async def leave(self) -> None:
        """See Claims. Nothing is held between turns."""
