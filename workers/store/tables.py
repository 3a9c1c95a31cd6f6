"""The tables, as the last migration leaves them."""

from sqlalchemy import JSON, BigInteger, Column, Date, Float, Index, MetaData, String, Table

metadata = MetaData()

#: What a component knows, or what it did, once for each key.
documents = Table(
    "documents",
    metadata,
    Column("kind", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("value", JSON, nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("since", Date, primary_key=True),  # the trading day of the change
    Column("risk_mode", String, nullable=False),
)

prices = Table(
    "prices",
    metadata,
    Column("day", Date, primary_key=True),
    Column("closes", JSON, nullable=False),  # symbol -> close price
)

trades = Table(
    "trades",
    metadata,
    Column("book", String, primary_key=True),  # whose books it is in
    Column("order_id", String, primary_key=True),
    Column("day", Date, nullable=False),
    Column("symbol", String, nullable=False),
    Column("side", String, nullable=False),
    Column("size", BigInteger, nullable=False),  # units
    Column("price", Float, nullable=False),
    Column("strategy_id", String, nullable=False),
    Column("model", String, nullable=False),
    Column("pnl_cents", BigInteger),  # of a sale
    Index("trades_by_day", "book", "day"),
)
