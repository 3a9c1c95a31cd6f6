"""Ranking: symbols by momentum, in proportion to their volatility."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from workers.market.prices import Closes, volatility

#: Closes of a ranking: a month's returns.
DAYS = 21
#: Annual volatility of a symbol above which it is left out.
MAX_VOLATILITY = 1.0
#: Volatility by which a score is divided at least, for prices that never moved.
MIN_RISK = 0.01


class Ranking(NamedTuple):
    """Symbols ranked on one day."""

    symbols: list[str]  #: best first, equals by name
    scores: dict[str, float]  #: of those: return for each unit of volatility
    excluded: int  #: how many were left out


def rank(days: Sequence[Closes]) -> Ranking:
    """Rank all symbols of these closes, which are oldest first."""
    paths = {symbol: [closes[symbol] for closes in days] for symbol in days[-1]}
    risks = {
        symbol: volatility([b / a - 1 for a, b in pairwise(path)]) for symbol, path in paths.items()
    }
    kept = [symbol for symbol, risk in risks.items() if risk <= MAX_VOLATILITY]
    scores = {symbol: _score(paths[symbol], risks[symbol]) for symbol in kept}
    return Ranking(_best_first(scores), scores, len(paths) - len(kept))


def _score(path: Sequence[float], risk: float) -> float:
    return round((path[-1] / path[0] - 1) / max(risk, MIN_RISK), 4)


def _best_first(scores: Mapping[str, float]) -> list[str]:
    return sorted(scores, key=lambda symbol: (-scores[symbol], symbol))
