"""Equity: its curve over the days of a replay, on the terminal and as a picture."""

from collections.abc import Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from qt_events import UsageError

SUFFIXES = (".png", ".svg")


class ChartError(UsageError):
    """A chart cannot be written to this file, or by this installation."""

    exit_code: ClassVar[int] = 2


class DayEquity(NamedTuple):
    """Equity at the end of one day."""

    day: date
    equity: float  #: in the account's currency


def sparkline(values: Sequence[float], width: int, height: int) -> str:
    """Return the values as a line of `width` by `height` characters, without axes."""
    plotext = _empty_plot(width, height)
    plotext.plot(_thinned(values, 2 * width), marker="hd")
    plotext.xaxes(False, False)  # noqa: FBT003
    plotext.yaxes(False, False)  # noqa: FBT003
    plotext.xticks([])
    plotext.yticks([])
    return _drawn(plotext)


def terminal_chart(curve: Sequence[DayEquity], width: int, height: int) -> str:
    """Return the curve with days and amounts at its axes, in `width` by `height` characters."""
    plotext = _empty_plot(width, height)
    days = list(range(len(curve)))
    amounts = [each.equity for each in curve]
    plotext.plot(days, amounts, marker="hd")
    plotext.xaxes(True, False)  # noqa: FBT003
    plotext.yaxes(True, False)  # noqa: FBT003
    marks = sorted({round(part * (len(curve) - 1) / 4) for part in range(5)})
    plotext.xticks(marks, [str(curve[mark].day) for mark in marks])
    levels = _levels(min(amounts), max(amounts))
    plotext.yticks(levels, [f"{level:,.0f}" for level in levels])
    return _drawn(plotext)


def _empty_plot(width: int, height: int) -> Any:
    # Imported when needed: this takes a tenth of a second.
    import plotext  # noqa: PLC0415

    plotext.clear_figure()
    plotext.limit_size(False, False)  # noqa: FBT003
    plotext.theme("clear")
    plotext.plotsize(width, height)
    return plotext


def _drawn(plotext: Any) -> str:
    text: str = plotext.uncolorize(plotext.build())
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")


def _thinned(values: Sequence[float], most: int) -> list[float]:
    """Return at most so many of the values, evenly spread; the last one is among them."""
    count = min(most, len(values))
    return [values[(index + 1) * len(values) // count - 1] for index in range(count)]


def _levels(low: float, high: float) -> list[float]:
    return [low] if low == high else [low, (low + high) / 2, high]


def check_chart_file(path: Path) -> None:
    """Raise ChartError now for what would fail after the replay.

    Raises:
        ChartError: another suffix than .png and .svg, no such folder, or matplotlib is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ChartError(f"a chart is written as .png or .svg, not as {str(path)!r}")
    if not path.absolute().parent.is_dir():
        raise ChartError(f"there is no folder {str(path.parent)!r} for the chart {path.name!r}")
    if find_spec("matplotlib") is None:
        raise ChartError("--chart needs matplotlib: pip install -e '.[chart]'")


def write_chart(path: Path, curve: Sequence[DayEquity]) -> None:
    """Write the curve as a picture, PNG or SVG by the suffix of `path`.

    Raises:
        ChartError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.add_subplot(
        title=f"Equity over {len(curve):,} trading days", ylabel="account's currency"
    )
    days: list[Any] = [each.day for each in curve]
    axes.plot(days, [each.equity for each in curve], linewidth=1)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ChartError(f"cannot write the chart {str(path)!r}: {error.strerror}") from None
