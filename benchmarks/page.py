"""docs/performance.md: the published run, its table between two marks, its chart and its JSON."""

from pathlib import Path

from benchmarks import chart, table
from benchmarks.record import Record

_DOCS = Path(__file__).parent.parent / "docs"
PAGE = _DOCS / "performance.md"
KEPT = _DOCS / "performance.json"  #: of which the table and the chart are made
_CHART = _DOCS / "images" / "performance.svg"
_FIRST = '<!-- from here `make bench ARGS="--publish"` writes, out of performance.json -->'
_LAST = "<!-- up to here -->"


def publish(record: Record) -> None:
    """Make it the run that the page shows."""
    PAGE.write_text(with_run(PAGE.read_text(), record))
    record.save(KEPT)
    chart.draw(record, _CHART)


def with_run(page: str, record: Record) -> str:
    """The page with that run between its marks."""
    before, _, rest = page.partition(_FIRST)
    _, mark, after = rest.partition(_LAST)
    if not mark:
        raise ValueError(f"docs/performance.md has no {_FIRST} with {_LAST} after it")
    return f"{before}{_FIRST}\n\n{table.markdown(record)}\n\n{_LAST}{after}"
