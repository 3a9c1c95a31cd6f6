import pytest

from tests.unit.workers.harness import MONDAY, Harness, trade
from workers.system.listeners.metrics_logger import BOOK, MetricsLogger
from workers.system.trading.executor import executed

LOGGER = "workers.system.listeners.metrics_logger"


async def test_each_trade_is_a_line_and_a_row_once(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """A redelivery adds nothing."""
    caplog.set_level("INFO", LOGGER)
    MetricsLogger(harness.bus, harness.store)
    await harness.publish(
        executed(trade("A")), executed(trade("A")), executed(trade("B", price=2.5))
    )
    assert [record.getMessage() for record in caplog.records if record.name == LOGGER] == [
        "trade side=BUY symbol=A size=100 price=10.0",
        "trade side=BUY symbol=B size=100 price=2.5",
    ]
    assert await harness.store.trades.between(BOOK, None, MONDAY) == [
        trade("A"),
        trade("B", price=2.5),
    ]
