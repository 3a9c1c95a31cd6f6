import pytest

from workers.market.strategies import FIRST_STAGES, STRATEGIES, core, mean_reversion, momentum

RANKING = ["A", "B", "C", "D", "E"]


def test_momentum_takes_the_strongest_first() -> None:
    """The ranking as it is."""
    assert momentum(RANKING) == ["A", "B", "C", "D", "E"]


def test_mean_reversion_takes_the_weakest_first() -> None:
    """The ranking upside down."""
    assert mean_reversion(RANKING) == ["E", "D", "C", "B", "A"]


def test_core_takes_the_middle_first() -> None:
    """The order goes from the middle outwards."""
    assert core(RANKING) == ["C", "B", "D", "A", "E"]


@pytest.mark.parametrize("strategy_id", STRATEGIES)
def test_each_takes_every_symbol_once(strategy_id: str) -> None:
    """A strategy orders, it does not choose; an empty ranking is fine."""
    pick = STRATEGIES[strategy_id]
    assert (sorted(pick(RANKING)), pick([])) == (RANKING, [])


def test_each_has_a_stage_to_begin_with() -> None:
    assert FIRST_STAGES.keys() == STRATEGIES.keys()
