"""Publish a run in docs/performance.md: the table between two marks, the chart and the JSON."""

from pathlib import Path

from benchmarks import chart, table
from benchmarks.record import Record

_DOCS = Path(__file__).parent.parent / "docs"
PAGE = _DOCS / "performance.md"
#: Source of the table and the chart.
KEPT = _DOCS / "performance.json"
_CHART = _DOCS / "images" / "performance.svg"
_FIRST = '<!-- generated from performance.json by `make bench ARGS="--publish"` -->'
_LAST = "<!-- end of the generated part -->"


def publish(record: Record) -> None:
    """Make this the run that the page shows."""
    PAGE.write_text(with_run(PAGE.read_text(), record))
    record.save(KEPT)
    chart.draw(record, _CHART)


def with_run(page: str, record: Record) -> str:
    """Return the page with this run between its marks."""
    before, _, rest = page.partition(_FIRST)
    _, mark, after = rest.partition(_LAST)
    if not mark:
        raise ValueError(f"docs/performance.md has no {_FIRST} with {_LAST} after it")
    return f"{before}{_FIRST}\n\n{table.markdown(record)}\n\n{_LAST}{after}"
