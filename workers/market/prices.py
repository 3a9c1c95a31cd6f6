"""Prices: the last days' closes, and what analysts reckon from them. Pure: the same closes, the same figures."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import date
from math import sqrt
from statistics import fmean

Closes = Mapping[str, float]

TRADING_DAYS = 252  # a year
YEAR = 260  # days kept: the longest look back, and some


class PriceHistory:
    """The closes of the last days, oldest first. A day that comes twice, as deliveries may, counts once."""

    def __init__(self, limit: int = YEAR) -> None:
        self.days: deque[date] = deque(maxlen=limit)
        self.closes: deque[Closes] = deque(maxlen=limit)
        self.returns: deque[float] = deque([0.0], maxlen=limit)  #: of the market, a day; parallel to `days`

    def __len__(self) -> int:
        return len(self.days)

    def add(self, day: date, closes: Closes) -> None:
        if self.days and day <= self.days[-1]:
            return
        if self.closes:
            self.returns.append(market_return(self.closes[-1], closes))
        self.days.append(day)
        self.closes.append(closes)

    def last(self, days: int, ago: int = 0) -> list[Closes]:
        """The closes of `days` days, the newest of them `ago` days old."""
        return list(self.closes)[: len(self) - ago][-days:]

    def market(self, days: int) -> list[float]:
        """The market's returns of the last `days` days."""
        return list(self.returns)[-days:]


def is_first_of_month(history: PriceHistory) -> bool:
    """Whether the last day is its month's first."""
    return len(history) == 1 or history.days[-1].month != history.days[-2].month


def is_first_of_week(history: PriceHistory) -> bool:
    """Whether the last day is its week's first."""
    return len(history) == 1 or history.days[-1].isocalendar()[:2] != history.days[-2].isocalendar()[:2]


def market_return(before: Closes, after: Closes, symbols: Sequence[str] = ()) -> float:
    """The mean return of these symbols (all, if none are named) from one close to another."""
    return fmean(after[symbol] / before[symbol] - 1 for symbol in symbols or after)


def volatility(returns: Sequence[float]) -> float:
    """Standard deviation of daily returns, a year's worth."""
    mean = fmean(returns)
    return sqrt(fmean([(change - mean) ** 2 for change in returns]) * TRADING_DAYS)


def trend(returns: Sequence[float]) -> float:
    """How far the last level stands above the mean of all levels, as a share of it."""
    levels = [1.0]
    for change in returns:
        levels.append(levels[-1] * (1 + change))
    return levels[-1] / fmean(levels) - 1
