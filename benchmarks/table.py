"""Make the table of one run: for a terminal, and as Markdown for docs/performance.md."""

from rich.table import Table

from benchmarks import words
from benchmarks.record import Record
from benchmarks.row import Row


def for_terminal(record: Record) -> Table:
    """Return a table that shows met targets in green and missed ones in red."""
    shown = Table(show_lines=True)
    for head in ("what", "median (least to most)", "target", "reached (by round)"):
        shown.add_column(head)
    for row in record.rows:
        shown.add_row(
            row.what,
            *("\n".join(lines) for lines in (words.figures(row), _wanted(row), _coloured(row))),
        )
    return shown


def markdown(record: Record) -> str:
    """Return the table, then how each row was measured, and on what."""
    table = [
        "| what | median (least to most) | target | reached (by round) | |",
        "|---|---|---|---|---|",
        *(_line(row) for row in record.rows),
    ]
    methods = [f"- **{row.name}**, {row.what}: {row.method}" for row in record.rows]
    return "\n".join([*table, "", *methods, "", provenance(record)])


def provenance(record: Record) -> str:
    """Describe when, on what and with which versions the run was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return (
        f"Measured on {record.date:%Y-%m-%d} at commit {record.commit}, rounds {record.rounds}, "
        f"scale {record.scale:g}, in {record.seconds / 60:.0f} min, on {record.machine}: "
        f"{versions}."
    )


def _line(row: Row) -> str:
    cells = (
        words.figures(row),
        _wanted(row),
        _reached(row),
        [words.met(result) for result in row.results],
    )
    return f"| {row.what} | {' | '.join('<br>'.join(lines) for lines in cells)} |"


def _wanted(row: Row) -> list[str]:
    return [words.wanted(row, target) for target in row.targets]


def _reached(row: Row) -> list[str]:
    return [words.reached(row, result) for result in row.results]


def _coloured(row: Row) -> list[str]:
    return [
        f"[{'green' if result.met else 'red'}]{text}[/]"
        for result, text in zip(row.results, _reached(row), strict=True)
    ]
