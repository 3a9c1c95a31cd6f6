"""First schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "documents",
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
    )
    op.create_table(
        "policies",
        sa.Column("since", sa.Date, primary_key=True),
        sa.Column("risk_mode", sa.String, nullable=False),
    )
    op.create_table(
        "prices",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("closes", sa.JSON, nullable=False),
    )
    op.create_table(
        "trades",
        sa.Column("book", sa.String, primary_key=True),
        sa.Column("order_id", sa.String, primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("symbol", sa.String, nullable=False),
        sa.Column("side", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("price", sa.Float, nullable=False),
        sa.Column("strategy_id", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("pnl_cents", sa.BigInteger),
    )
    op.create_index("trades_by_day", "trades", ["book", "day"])
