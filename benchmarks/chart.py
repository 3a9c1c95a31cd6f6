"""The rates of one run as bars, a panel each: an SVG for docs/performance.md."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.rounds import Row

_COLOURS = {"ours": "#1f77b4", "raw": "#999999"}
_OTHERS = "#d8a878"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Every row whose first unit is a rate."""
    import matplotlib as mpl  # heavy

    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    mpl.rcParams["svg.hashsalt"] = "qt_events"  # the same run draws the same file
    from matplotlib import pyplot as plt

    shown = [row for row in rows if row.case.units[0] == "rate"]
    if not shown:
        return
    figure, panels = plt.subplots(len(shown), 1, figsize=(8, 1.5 * len(shown)), squeeze=False)
    for row, panel in zip(shown, panels[:, 0], strict=True):
        names = list(row.case.contenders)
        spreads = [row.spread(name, "rate") for name in names]
        medians = [each.median for each in spreads]
        ranges = [[each.median - each.least for each in spreads], [each.most - each.median for each in spreads]]
        panel.barh(names, medians, xerr=ranges, color=[_COLOURS.get(name, _OTHERS) for name in names], height=0.7)
        panel.invert_yaxis()
        panel.set_title(row.case.what, fontsize=9, loc="left")
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1, 0].set_xlabel("events a second: median of the rounds, from the least to the most", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
