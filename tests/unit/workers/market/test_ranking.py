from workers.market.ranking import rank


def days(**paths: list[float]) -> list[dict[str, float]]:
    return [dict(zip(paths, prices, strict=True)) for prices in zip(*paths.values(), strict=True)]


def test_the_strongest_for_its_risk_comes_first() -> None:
    """Return counts by the volatility it took."""
    ranking = rank(days(FALLS=[10, 10, 9.9], RISES=[10, 10.05, 10.1], SWINGS=[10, 10.5, 10.1]))
    assert ranking.symbols == ["RISES", "SWINGS", "FALLS"]
    assert sorted(ranking.scores.values(), reverse=True) == [
        ranking.scores[symbol] for symbol in ranking.symbols
    ]


def test_equals_rank_by_name() -> None:
    """The order of columns decides nothing."""
    path = [10.0, 11.0, 12.0]
    assert rank(days(B=path, A=path)).symbols == ["A", "B"]


def test_what_is_too_wild_is_left_out_and_counted() -> None:
    """The limit is an annual volatility of 100 %."""
    ranking = rank(days(LOW_VOLATILITY=[10, 10.1, 10.2], WILD=[10, 15, 10]))
    assert (ranking.symbols, ranking.excluded) == (["LOW_VOLATILITY"], 1)


def test_a_price_that_never_moves_scores_nothing() -> None:
    """The risk counts as MIN_RISK, so nothing is divided by 0."""
    assert rank(days(STILL=[10, 10, 10])).scores == {"STILL": 0}
