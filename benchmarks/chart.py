"""Draw the rates of one run as bars, one panel for each row: an SVG for docs/performance.md."""

from pathlib import Path
from typing import Any

from benchmarks.record import Record
from benchmarks.row import Row

_COLOURS = {"ours": "#1f77b4", "raw": "#999999"}
_OTHERS = "#d8a878"


def draw(record: Record, path: Path) -> None:
    """Draw every row whose first unit is a rate; write no file if there is none."""
    shown = [row for row in record.rows if row.units[0] == "rate" and row.spreads]
    if not shown:
        return
    # Imported here because it is heavy.
    import matplotlib as mpl

    mpl.use("svg")
    # Keep text as text instead of outlines.
    mpl.rcParams["svg.fonttype"] = "none"
    # Draw the same file for the same run.
    mpl.rcParams["svg.hashsalt"] = "qt_events"
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(len(shown), 1, figsize=(8, 1.5 * len(shown)), squeeze=False)
    for row, panel in zip(shown, panels[:, 0], strict=True):
        _fill(panel, row)
    panels[-1, 0].set_xlabel(
        "events a second: median of the rounds, from the least to the most", fontsize=8
    )
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def _fill(panel: Any, row: Row) -> None:
    """Draw the bars of the contenders that did not fail."""
    names = list(row.spreads)
    rates = [row.spreads[name]["rate"] for name in names]
    ranges = [
        [each.median - each.least for each in rates],
        [each.most - each.median for each in rates],
    ]
    colours = [_COLOURS.get(name, _OTHERS) for name in names]
    panel.barh(names, [each.median for each in rates], xerr=ranges, color=colours, height=0.7)
    panel.invert_yaxis()
    panel.set_title(row.what, fontsize=9, loc="left")
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
