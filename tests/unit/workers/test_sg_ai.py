from typing import TYPE_CHECKING

from qt_events import Stage, StrategyPromotedEvent
from workers.sg_ai import StrategyGenerator

if TYPE_CHECKING:
    from tests.unit.workers.conftest import Scene

DAYS = 100


def diverging() -> dict[str, list[float]]:
    """Ten symbols, each with a drift of its own: the strong stay strong, the weak stay weak."""
    return {f"S{rank}": [100 * (1 + 0.002 * (5 - rank)) ** day for day in range(DAYS)] for rank in range(10)}


async def test_moves_strategies_by_what_they_earned_on_paper(scene: "Scene") -> None:
    """Where the strong stay strong, mean reversion loses its place and momentum keeps the highest."""
    sg_ai = StrategyGenerator(scene.bus)
    await scene.market(**diverging())
    moves = [event.payload for event in scene.heard(StrategyPromotedEvent)]
    assert [(move.strategy_id, move.from_stage, move.to_stage) for move in moves] == [
        ("mean_reversion", Stage.SHADOW, Stage.RETIRED)
    ]
    assert moves[0].metrics["edge"] < 0
    assert sg_ai.stages == {"momentum": Stage.LIVE, "mean_reversion": Stage.RETIRED, "core": Stage.SHADOW}


async def test_moves_nothing_in_a_market_without_differences(scene: "Scene") -> None:
    """No edge, no promotion."""
    path = [100 * 1.001**day for day in range(DAYS)]
    StrategyGenerator(scene.bus)
    await scene.market(A=path, B=path)
    assert scene.heard(StrategyPromotedEvent) == []


async def test_says_nothing_before_it_has_tried(scene: "Scene") -> None:
    """Paper trading comes before promotion."""
    StrategyGenerator(scene.bus)
    await scene.market(**{symbol: path[:60] for symbol, path in diverging().items()})
    assert scene.heard(StrategyPromotedEvent) == []
