"""Ranking: symbols by what their prices did for the risk they took. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from workers.market.prices import Closes, volatility

DAYS = 21  # closes looked at: a month's returns
TOO_WILD = 1.0  # a symbol of more volatility (a year's) is left out
LEAST_RISK = 0.01  # a price that never moved is no reason to divide by 0


class Ranking(NamedTuple):
    """The outcome of one look at the prices."""

    symbols: list[str]  #: best first, equals by name
    scores: dict[str, float]  #: of those: return for each unit of volatility
    excluded: int  #: how many were left out


def rank(days: Sequence[Closes]) -> Ranking:
    """Rank all symbols of these closes, oldest first, by momentum."""
    paths = {symbol: [closes[symbol] for closes in days] for symbol in days[-1]}
    risks = {symbol: volatility([b / a - 1 for a, b in pairwise(path)]) for symbol, path in paths.items()}
    kept = [symbol for symbol, risk in risks.items() if risk <= TOO_WILD]
    scores = {symbol: _score(paths[symbol], risks[symbol]) for symbol in kept}
    return Ranking(_best_first(scores), scores, len(paths) - len(kept))


def _score(path: Sequence[float], risk: float) -> float:
    return round((path[-1] / path[0] - 1) / max(risk, LEAST_RISK), 4)


def _best_first(scores: Mapping[str, float]) -> list[str]:
    return sorted(scores, key=lambda symbol: (-scores[symbol], symbol))
