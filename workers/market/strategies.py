"""Strategies: each orders the symbols of a ranking by what it would hold.

SG AI tries them on paper, Strategy Runtime Engine runs them.
"""

from collections.abc import Callable, Sequence

from qt_events import Stage

Pick = Callable[[Sequence[str]], list[str]]


def momentum(ranking: Sequence[str]) -> list[str]:
    """Order the strongest symbols first."""
    return list(ranking)


def mean_reversion(ranking: Sequence[str]) -> list[str]:
    """Order the weakest symbols first."""
    return list(reversed(ranking))


def core(ranking: Sequence[str]) -> list[str]:
    """Order symbols from the middle of the ranking outwards."""
    middle = (len(ranking) - 1) / 2
    return sorted(ranking, key=lambda symbol: abs(ranking.index(symbol) - middle))


STRATEGIES: dict[str, Pick] = {"momentum": momentum, "mean_reversion": mean_reversion, "core": core}

#: Where each stands on the first day.
FIRST_STAGES = {"momentum": Stage.LIVE, "mean_reversion": Stage.SHADOW, "core": Stage.SHADOW}
