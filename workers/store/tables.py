"""Tables, as the last migration leaves them."""

from sqlalchemy import JSON, BigInteger, Column, Date, Float, Index, MetaData, String, Table

metadata = MetaData()

#: State and records of components, once for each key.
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
    # The trading day of the change.
    Column("since", Date, primary_key=True),
    Column("risk_mode", String, nullable=False),
)

prices = Table(
    "prices",
    metadata,
    Column("day", Date, primary_key=True),
    # Symbol -> close price.
    Column("closes", JSON, nullable=False),
)

trades = Table(
    "trades",
    metadata,
    # The component that keeps the trade.
    Column("book", String, primary_key=True),
    Column("order_id", String, primary_key=True),
    Column("day", Date, nullable=False),
    Column("symbol", String, nullable=False),
    Column("side", String, nullable=False),
    # Units of the symbol.
    Column("size", BigInteger, nullable=False),
    Column("price", Float, nullable=False),
    Column("strategy_id", String, nullable=False),
    Column("model", String, nullable=False),
    # Profit of a sale; NULL for a purchase.
    Column("pnl_cents", BigInteger),
    Index("trades_by_day", "book", "day"),
)
