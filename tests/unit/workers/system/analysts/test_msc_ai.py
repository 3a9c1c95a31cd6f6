import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import PolicyUpdatedEvent, RiskMode
from tests.unit.workers.harness import MONDAY, Scene, days
from workers.market.prices import PriceHistory
from workers.system.analysts.msc_ai import POLICIES, MetaStrategyController, next_risk_mode

CALM_RISE = [100 * 1.001**day for day in range(30)]
STORM = [CALM_RISE[-1] * (0.9 if day % 2 else 1.0) for day in range(10)]
FALL = [100 * 0.999**day for day in range(30)]


@pytest.fixture(autouse=True)
def _msc_ai(scene: Scene) -> None:
    MetaStrategyController(scene.bus, scene.store)


def modes(scene: Scene) -> list[RiskMode]:
    return [event.payload.risk_mode for event in scene.heard(PolicyUpdatedEvent)]


async def test_says_nothing_before_it_knows_enough(scene: Scene) -> None:
    """Twenty closes are nineteen returns: too few for a month's volatility."""
    await scene.market(A=CALM_RISE[:20])
    assert modes(scene) == []


async def test_a_calm_rise_is_aggressive_and_said_once(scene: Scene) -> None:
    """A policy is published when it changes, not each day."""
    await scene.market(A=CALM_RISE)
    assert modes(scene) == [RiskMode.AGGRESSIVE]


async def test_a_calm_fall_is_normal(scene: Scene) -> None:
    """Without an upward trend no more risk is taken."""
    await scene.market(A=FALL)
    assert modes(scene) == [RiskMode.NORMAL]


async def test_a_storm_is_defensive(scene: Scene) -> None:
    """Volatility beats trend."""
    await scene.market(A=CALM_RISE + STORM)
    assert modes(scene)[-1] is RiskMode.DEFENSIVE


async def test_the_policy_carries_the_limits_of_its_mode(scene: Scene) -> None:
    """All of them."""
    await scene.market(A=CALM_RISE)
    assert scene.last(PolicyUpdatedEvent) == {"risk_mode": RiskMode.AGGRESSIVE, **POLICIES[RiskMode.AGGRESSIVE]}


def test_less_risk_means_less_of_everything() -> None:
    """Fewer positions, smaller ones, and of those only the surest."""
    ordered = [POLICIES[mode] for mode in (RiskMode.AGGRESSIVE, RiskMode.NORMAL, RiskMode.DEFENSIVE)]
    assert [policy["max_positions"] for policy in ordered] == [8, 6, 4]
    assert [policy["max_risk_per_trade"] for policy in ordered] == [0.12, 0.10, 0.08]
    assert [policy["global_min_confidence"] for policy in ordered] == [0.6, 0.7, 0.9]


async def test_the_policy_store_keeps_each_mode_with_its_first_day(scene: Scene) -> None:
    """A change is a row; the last one is the mode in force."""
    await scene.market(A=CALM_RISE + STORM)
    history = await scene.store.policies.history()
    assert [mode for _, mode in history] == modes(scene)
    assert history[0][0] > MONDAY
    assert await scene.store.policies.risk_mode() is RiskMode.DEFENSIVE


@given(st.lists(st.floats(-0.08, 0.08), min_size=25, max_size=70), st.none() | st.sampled_from(RiskMode))
def test_a_mode_that_was_chosen_stays_while_nothing_changes(changes: list[float], mode: RiskMode | None) -> None:
    """It does not flicker: asked again about the same day, it is the same."""
    prices = [100.0]
    for change in changes:
        prices.append(prices[-1] * (1 + change))
    history = PriceHistory()
    for day, closes in days(A=prices):
        history.add(day, closes)
    chosen = next_risk_mode(mode, history)
    assert next_risk_mode(chosen, history) is chosen
