"""Price file: close prices as CSV."""

import csv
import math
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from qt_events import UsageError

MARKET = Path(__file__).parent / "market_data" / "sp500_2007_2010.csv"


class MarketFileError(UsageError):
    """A price file cannot be read; the text names line, column and the expected content."""


class Close(NamedTuple):
    """Prices of one trading day."""

    day: date
    closes: dict[str, float]  #: symbol -> close price


def read_market(path: Path = MARKET) -> list[Close]:
    """Return all days of a price file; market_data/README.md describes its shape.

    Raises:
        MarketFileError: there is no such file, or it has another shape.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(path, file)
    except OSError as error:
        message = f"cannot read the market file {path}: {error.strerror}"
        raise MarketFileError(message) from None
    except (UnicodeDecodeError, csv.Error) as error:
        message = f"the market file {path} is no CSV in UTF-8: {error}"
        raise MarketFileError(message) from None


def _parse(path: Path, lines: Iterator[str]) -> list[Close]:
    reader = csv.reader(lines)
    symbols = _symbols(path, next(reader, []))
    days: list[Close] = []
    for row in filter(None, reader):
        place = f"{path}, line {reader.line_num}"
        days.append(_close(place, symbols, row))
        if len(days) > 1 and days[-1].day <= days[-2].day:
            late, early = days[-1].day, days[-2].day
            message = f"{place}: {late} does not come after {early}: one row a day, oldest first"
            raise MarketFileError(message)
    if not days:
        message = f"the market file {path} has no days: a row a day must follow its header"
        raise MarketFileError(message)
    return days


def _symbols(path: Path, header: Sequence[str]) -> list[str]:
    first, *symbols = header or [""]
    if first != "Date" or not symbols or not all(symbols) or len(set(symbols)) < len(symbols):
        found = ",".join(header)[:80]
        raise MarketFileError(
            f"{path}, line 1: {found!r} is no header: "
            "it must be Date and then one or more symbols, each once"
        )
    return symbols


def _close(place: str, symbols: Sequence[str], row: Sequence[str]) -> Close:
    if len(row) != len(symbols) + 1:
        message = f"{place} has {len(row)} columns, the header {len(symbols) + 1}"
        raise MarketFileError(message)
    prices = {
        symbol: _price(place, symbol, text) for symbol, text in zip(symbols, row[1:], strict=True)
    }
    return Close(_day(place, row[0]), prices)


def _day(place: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{place}, column Date: {text!r} is no day: write YYYY-MM-DD"
        raise MarketFileError(message) from None


def _price(place: str, symbol: str, text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not 0 < price < math.inf:
        message = f"{place}, column {symbol}: {text!r} is no price: it must be a number over 0"
        raise MarketFileError(message)
    return price
