import pytest

from qt_events import ModelPromotedEvent, Side, Stage, StrategyPromotedEvent
from tests.unit.workers.harness import Harness, trade
from workers.store import Trade
from workers.system.listeners.analytics import BOOK, Analytics, Question, profit_by
from workers.system.trading.executor import executed

MOVED = StrategyPromotedEvent.create(
    strategy_id="core", from_stage=Stage.SHADOW, to_stage=Stage.LIVE
)


@pytest.fixture(autouse=True)
def _analytics(harness: Harness) -> None:
    Analytics(harness.bus, harness.store)


def sale(
    symbol: str, cents: int, strategy_id: str = "momentum", model: str = "XGBoost v1"
) -> Trade:
    return trade(symbol, Side.SELL, strategy_id=strategy_id, model=model, pnl_cents=cents)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("strategy", [("core", 7.5), ("momentum", -2.0)]),
        ("model", [("XGBoost v1", 8.0), ("LightGBM v1", -2.5)]),
        ("symbol", [("C", 7.5), ("A", 0.5), ("B", -2.5)]),
    ],
)
async def test_tells_what_was_earned_the_best_first(
    harness: Harness, question: Question, answer: list[tuple[str, float]]
) -> None:
    """Profits are in the account's currency; purchases have none."""
    trades = [
        sale("A", 50),
        sale("B", -250, model="LightGBM v1"),
        sale("C", 750, "core"),
        trade("D", strategy_id="mean_reversion", model="PatchTST v1"),
    ]
    await harness.publish(*[executed(each) for each in trades])
    assert list((await profit_by(harness.store, question)).items()) == answer


async def test_knows_nothing_at_first(harness: Harness) -> None:
    assert await profit_by(harness.store, "strategy") == {}


async def test_equals_are_told_by_name(harness: Harness) -> None:
    """The order of the events does not matter."""
    await harness.publish(*[executed(sale(symbol, 100)) for symbol in "CAB"])
    assert list(await profit_by(harness.store, "symbol")) == ["A", "B", "C"]


async def test_a_trade_told_twice_is_earned_once(harness: Harness) -> None:
    """The order id identifies a trade."""
    await harness.publish(executed(sale("A", 50)), executed(sale("A", 50)))
    assert await profit_by(harness.store, "symbol") == {"A": 0.5}


async def test_any_process_can_be_asked(harness: Harness, other: Harness) -> None:
    """The database holds what another process heard."""
    await harness.publish(executed(sale("A", 50)))
    assert await profit_by(other.store, "symbol") == {"A": 0.5}


async def test_promotions_are_kept_once_each(harness: Harness) -> None:
    """The event's id identifies a promotion; strategies and models are kept apart."""
    model = ModelPromotedEvent.create(model_name="XGBoost", old_version=None, new_version="v1")
    await harness.publish(MOVED, MOVED, model)
    kept = await harness.store.documents.all(f"{BOOK}.strategy.promoted")
    assert {key: value["to_stage"] for key, value in kept.items()} == {MOVED.id: "LIVE"}
    assert (await harness.store.documents.all(f"{BOOK}.model.promoted")).keys() == {model.id}
