"""Accounts: two tables between which handlers move money, and what must hold of them."""

from typing import Any

import sqlalchemy as sa

from qt_events import Event

metadata = sa.MetaData()
#: Where money comes from, and where it goes.
tills, savings = (
    sa.Table(
        name,
        metadata,
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("balance", sa.BigInteger, nullable=False),
    )
    for name in ("tills", "savings")
)
#: A row for each effect of an event: two rows of one event are money made of nothing.
transfers = sa.Table(
    "transfers",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("event", sa.Text, nullable=False),
)
ACCOUNTS = 10
OPENING = 1_000_000


def open_accounts(engine: sa.Engine) -> None:
    """Make the tables, with money in the tills."""
    metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"number": number} for number in range(ACCOUNTS)]
        connection.execute(sa.insert(tills).values(balance=OPENING), rows)
        connection.execute(sa.insert(savings).values(balance=0), rows)


def transfer(connection: sa.Connection, event: Event[Any]) -> None:
    """Move an event's amount from a till to a savings account."""
    amount, number = event.payload["amount"], event.payload["account"]
    for table, change in ((tills, -amount), (savings, amount)):
        connection.execute(
            sa.update(table)
            .where(table.c.number == number)
            .values(balance=table.c.balance + change)
        )
    connection.execute(sa.insert(transfers).values(event=event.id))


def moved(engine: sa.Engine) -> list[str]:
    """Return the ids of events, once for each time that they had their effect."""
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(transfers.c.event)))


def balances(engine: sa.Engine) -> tuple[int, int]:
    """Return the sums of both tables."""
    with engine.connect() as connection:
        left, right = (
            connection.scalar(sa.select(sa.func.sum(table.c.balance))) for table in (tills, savings)
        )
    return int(left or 0), int(right or 0)
