"""What came of a run: a table to read, JSON to keep, Markdown for docs/performance.md."""

import json
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.rounds import Row, Spread, Target

_PACKAGES = ("celery", "kombu", "amqp", "faststream", "aio-pika", "pydantic")
_SIGNS = {"rate": "events/s", "cpu_us": "µs of CPU", "p50_ms": "ms, p50", "p99_ms": "ms, p99", "p50_us": "µs, p50"}
_SIGNS |= {"mb": "MB", "cpu_percent": "% of a core", "cpu_ms": "ms of CPU", "calls": "calls"}


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _spread(spread: Spread) -> str:
    if spread.least == spread.most:
        return _figure(spread.median)
    return f"{_figure(spread.median)} ({_figure(spread.least)} to {_figure(spread.most)})"


def wanted(row: Row, target: Target) -> str:
    """The target in words."""
    sign = "<=" if target.at_most else ">="
    unit = _SIGNS[target.unit or row.case.units[0]]
    if not target.over:
        return f"{sign} {_figure(target.value)} {unit}"
    return (
        f"{sign} {target.over} + {_figure(target.value)} {unit}"
        if target.difference
        else (f"{sign} {target.value:g} x {target.over}")
    )


def reached(row: Row, target: Target) -> str:
    """What there is."""
    value = row.reached(target)
    unit = _SIGNS[target.unit or row.case.units[0]]
    if not target.over:
        return f"{_figure(value)} {unit}"
    return f"{value:+.3g} {unit}" if target.difference else f"{value:.2f} x"


def _lines(row: Row) -> Iterator[tuple[str, ...]]:
    for contender in row.case.contenders:
        yield (contender, *(f"{_spread(row.spread(contender, unit))} {_SIGNS[unit]}" for unit in row.case.units))


def table(rows: Sequence[Row]) -> Table:
    """For a terminal."""
    shown = Table(show_lines=True)
    for head in ("what", "median (range)", "target", "reached"):
        shown.add_column(head)
    for row in rows:
        figures = "\n".join(f"{name}: {', '.join(values)}" for name, *values in _lines(row))
        targets = [(wanted(row, each), reached(row, each), each.met(row.reached(each))) for each in row.case.targets]
        shown.add_row(
            row.case.what,
            figures,
            "\n".join(each for each, _, _ in targets),
            "\n".join(f"[{'green' if met else 'red'}]{each}[/]" for _, each, met in targets),
        )
    return shown


def markdown(rows: Sequence[Row]) -> str:
    """The same for a page."""
    lines = ["| what | median (least to most) | target | reached | |", "|---|---|---|---|---|"]
    for row in rows:
        figures = "<br>".join(f"{name}: {', '.join(values)}" for name, *values in _lines(row))
        targets = row.case.targets
        lines.append(
            f"| {row.case.what} | {figures} | {'<br>'.join(wanted(row, each) for each in targets)} "
            f"| {'<br>'.join(reached(row, each) for each in targets)} "
            f"| {'<br>'.join('met' if each.met(row.reached(each)) else '**not met**' for each in targets)} |"
        )
    notes = [f"- {row.case.what}: {row.case.shows_not}" for row in rows if row.case.shows_not]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """Every sample, and on what."""
    return {
        "python": sys.version.split()[0],
        "machine": f"{platform.machine()}, {len(_cpus())} cores",
        "packages": {name: _version(name) for name in _PACKAGES},
        "rows": [
            {
                "name": row.case.name,
                "what": row.case.what,
                "samples": {name: list(samples) for name, samples in row.samples.items()},
                "targets": [
                    {"target": wanted(row, each), "reached": row.reached(each), "met": each.met(row.reached(each))}
                    for each in row.case.targets
                ],
            }
            for row in rows
        ],
    }


def save(rows: Sequence[Row], path: Path) -> None:
    """As JSON."""
    path.write_text(json.dumps(document(rows), indent=2) + "\n")


def missed(rows: Sequence[Row]) -> list[str]:
    """The targets that are not met."""
    return [
        f"{row.case.name}: {wanted(row, each)}, got {reached(row, each)}"
        for row in rows
        for each in row.case.targets
        if not each.met(row.reached(each))
    ]


def _cpus() -> list[str]:
    return [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
