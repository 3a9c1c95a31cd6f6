from typing import TYPE_CHECKING

import pytest

from qt_events import PolicyUpdatedEvent, RiskMode
from workers.msc_ai import MetaStrategyController

if TYPE_CHECKING:
    from tests.unit.workers.conftest import Scene

CALM_RISE = [100 * 1.001**day for day in range(30)]
STORM = [CALM_RISE[-1] * (0.9 if day % 2 else 1.0) for day in range(10)]
FALL = [100 * 0.999**day for day in range(30)]


@pytest.fixture
def modes(scene: "Scene") -> list[RiskMode]:
    MetaStrategyController(scene.bus)
    heard: list[RiskMode] = []
    scene.bus.subscribe(PolicyUpdatedEvent, lambda event: heard.append(event.payload.risk_mode), name="modes")
    return heard


async def test_says_nothing_before_it_knows_enough(scene: "Scene", modes: list[RiskMode]) -> None:
    """Twenty closes are nineteen returns: too few for a month's volatility."""
    await scene.market(A=CALM_RISE[:20])
    assert modes == []


async def test_a_calm_rise_is_aggressive_and_said_once(scene: "Scene", modes: list[RiskMode]) -> None:
    """A policy is published when it changes, not each day."""
    await scene.market(A=CALM_RISE)
    assert modes == [RiskMode.AGGRESSIVE]


async def test_a_calm_fall_is_normal(scene: "Scene", modes: list[RiskMode]) -> None:
    """Without an upward trend no more risk is taken."""
    await scene.market(A=FALL)
    assert modes == [RiskMode.NORMAL]


async def test_a_storm_is_defensive(scene: "Scene", modes: list[RiskMode]) -> None:
    """Volatility beats trend."""
    await scene.market(A=CALM_RISE + STORM)
    assert modes[-1] is RiskMode.DEFENSIVE


async def test_less_risk_means_less_of_everything(scene: "Scene") -> None:
    """The policy carries the limits of its mode."""
    MetaStrategyController(scene.bus)
    await scene.market(A=CALM_RISE + STORM)
    first, *_, last = [event.payload for event in scene.heard(PolicyUpdatedEvent)]
    assert last.max_positions < first.max_positions
    assert last.max_risk_per_trade < first.max_risk_per_trade
    assert last.global_min_confidence > first.global_min_confidence
