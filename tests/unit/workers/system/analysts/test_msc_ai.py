import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import PolicyUpdatedEvent, RiskMode
from tests.unit.workers.harness import MONDAY, Harness, days
from workers.market.prices import PriceHistory
from workers.system.analysts.msc_ai import POLICIES, MetaStrategyController, next_risk_mode

CALM_RISE = [100 * 1.001**day for day in range(30)]
HIGH_VOLATILITY = [CALM_RISE[-1] * (0.9 if day % 2 else 1.0) for day in range(10)]
FALL = [100 * 0.999**day for day in range(30)]


@pytest.fixture(autouse=True)
def _msc_ai(harness: Harness) -> None:
    MetaStrategyController(harness.bus, harness.store)


def modes(harness: Harness) -> list[RiskMode]:
    return [event.payload.risk_mode for event in harness.published(PolicyUpdatedEvent)]


async def test_says_nothing_before_it_knows_enough(harness: Harness) -> None:
    """Twenty closes are nineteen returns: too few for a month's volatility."""
    await harness.trade_days(A=CALM_RISE[:20])
    assert modes(harness) == []


async def test_a_calm_rise_is_aggressive_and_said_once(harness: Harness) -> None:
    """A policy is published when it changes, not each day."""
    await harness.trade_days(A=CALM_RISE)
    assert modes(harness) == [RiskMode.AGGRESSIVE]


async def test_a_calm_fall_is_normal(harness: Harness) -> None:
    """More risk needs an upward trend."""
    await harness.trade_days(A=FALL)
    assert modes(harness) == [RiskMode.NORMAL]


async def test_a_storm_is_defensive(harness: Harness) -> None:
    """High volatility outweighs the trend."""
    await harness.trade_days(A=CALM_RISE + HIGH_VOLATILITY)
    assert modes(harness)[-1] is RiskMode.DEFENSIVE


async def test_the_policy_carries_the_limits_of_its_mode(harness: Harness) -> None:
    await harness.trade_days(A=CALM_RISE)
    assert harness.last_payload(PolicyUpdatedEvent) == {
        "risk_mode": RiskMode.AGGRESSIVE,
        **POLICIES[RiskMode.AGGRESSIVE],
    }


def test_less_risk_means_less_of_everything() -> None:
    """Positions are fewer and smaller, and need more confidence."""
    ordered = [
        POLICIES[mode] for mode in (RiskMode.AGGRESSIVE, RiskMode.NORMAL, RiskMode.DEFENSIVE)
    ]
    assert [policy["max_positions"] for policy in ordered] == [8, 6, 4]
    assert [policy["max_risk_per_trade"] for policy in ordered] == [0.12, 0.10, 0.08]
    assert [policy["global_min_confidence"] for policy in ordered] == [0.6, 0.7, 0.9]


async def test_the_policy_store_keeps_each_mode_with_its_first_day(harness: Harness) -> None:
    """A change is a row; the last one is the mode in force."""
    await harness.trade_days(A=CALM_RISE + HIGH_VOLATILITY)
    history = await harness.store.policies.history()
    assert [mode for _, mode in history] == modes(harness)
    assert history[0][0] > MONDAY
    assert await harness.store.policies.risk_mode() is RiskMode.DEFENSIVE


@given(
    st.lists(st.floats(-0.08, 0.08), min_size=25, max_size=70),
    st.none() | st.sampled_from(RiskMode),
)
def test_a_mode_that_was_chosen_stays_while_nothing_changes(
    changes: list[float], mode: RiskMode | None
) -> None:
    """Checked again on the same day, the mode is the same."""
    prices = [100.0]
    for change in changes:
        prices.append(prices[-1] * (1 + change))
    history = PriceHistory()
    for day, closes in days(A=prices):
        history.add(day, closes)
    chosen = next_risk_mode(mode, history)
    assert next_risk_mode(chosen, history) is chosen
