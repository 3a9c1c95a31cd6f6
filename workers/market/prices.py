"""Prices: closes of the last days, and figures calculated from them."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import date
from math import sqrt
from statistics import fmean

Closes = Mapping[str, float]

#: Trading days of a year.
TRADING_DAYS = 252
#: Days kept; no calculation looks back further.
YEAR = 260


class PriceHistory:
    """Closes of the last days, oldest first. A day that is added twice counts once."""

    def __init__(self, limit: int = YEAR) -> None:
        self.days: deque[date] = deque(maxlen=limit)
        self.closes: deque[Closes] = deque(maxlen=limit)
        self.returns: deque[float] = deque(
            [0.0], maxlen=limit
        )  #: of the market, a day; parallel to `days`

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
        """Return the closes of `days` days, the newest of them `ago` days old."""
        return list(self.closes)[: len(self) - ago][-days:]

    def market(self, days: int) -> list[float]:
        """Return the market's returns of the last `days` days."""
        return list(self.returns)[-days:]


def is_first_of_month(history: PriceHistory) -> bool:
    """Return True if the last day is the first of its month."""
    return len(history) == 1 or history.days[-1].month != history.days[-2].month


def is_first_of_week(history: PriceHistory) -> bool:
    """Return True if the last day is the first of its week."""
    return (
        len(history) == 1
        or history.days[-1].isocalendar()[:2] != history.days[-2].isocalendar()[:2]
    )


def market_return(before: Closes, after: Closes, symbols: Sequence[str] = ()) -> float:
    """Return the mean return of some symbols, by default of all, from one close to another."""
    return fmean(after[symbol] / before[symbol] - 1 for symbol in symbols or after)


def volatility(returns: Sequence[float]) -> float:
    """Return the annual standard deviation of daily returns."""
    mean = fmean(returns)
    return sqrt(fmean([(change - mean) ** 2 for change in returns]) * TRADING_DAYS)


def trend(returns: Sequence[float]) -> float:
    """Return the distance of the last level from the mean of all levels, as a share of it."""
    levels = [1.0]
    for change in returns:
        levels.append(levels[-1] * (1 + change))
    return levels[-1] / fmean(levels) - 1
