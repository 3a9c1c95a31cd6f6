"""Describe figures, targets and results in words, the same for a terminal and for a page."""

from benchmarks.case import Target
from benchmarks.row import Result, Row, Spread

UNITS = {
    "rate": "events/s",
    "cpu_us": "µs of CPU",
    "opcodes": "bytecodes",
    "p50_ms": "ms, p50",
    "p99_ms": "ms, p99",
    "list_ms": "ms a list, p50",
    "trace_ms": "ms a trace, p50",
    "p50_us": "µs, p50",
    "mb": "MB",
    "grown_mb": "MB more",
    "peak_mb": "MB at the peak",
    "over_mb": "MB",
    "over_bare_mb": "MB over `import pydantic`",
    "cpu_percent": "% of a core",
    "cpu_ms": "ms of CPU",
    "seconds": "s",
    "queue_kb": "kB of queues",
}


def figure(value: float) -> str:
    """Format with three significant digits, or with all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(values: Spread) -> str:
    """Format the median, and the range if there is one."""
    if values.least == values.most:
        return figure(values.median)
    return f"{figure(values.median)} ({figure(values.least)} to {figure(values.most)})"


def figures(row: Row) -> list[str]:
    """Describe what each contender reached, one line for each."""
    return [f"{name}: {_gave(row, name)}" for name in row.samples]


def _gave(row: Row, contender: str) -> str:
    if contender in row.failed:
        return "failed " + row.failed[contender].splitlines()[0]
    return ", ".join(f"{spread(row.spread(contender, unit))} {UNITS[unit]}" for unit in row.units)


def wanted(row: Row, target: Target) -> str:
    """Describe the target."""
    sign, unit = "<=" if target.at_most else ">=", _unit(row, target)
    if not target.over:
        return f"{sign} {figure(target.value)} {unit}"
    other = (
        target.over if target.cap is None else f"min({target.over}, {figure(target.cap)} {unit})"
    )
    if target.difference:
        return f"{sign} {other} + {figure(target.value)} {unit}"
    return f"{sign} {target.value:g} x {other}"


def reached(row: Row, result: Result) -> str:
    """Describe the result by the medians; in brackets the least and the best round."""
    if result.reached is None or result.by_round is None:
        return "nothing"
    target, rounds = result.target, result.by_round
    if target.over and not target.difference:
        by_round = (
            "" if rounds.least == rounds.most else f" ({rounds.least:.2f} to {rounds.most:.2f})"
        )
        return f"{result.reached:.2f} x{by_round}"
    sign = "+" if target.difference else ""
    return (
        f"{result.reached:{sign}.3g} {_unit(row, target)}"
        if sign
        else f"{figure(result.reached)} {_unit(row, target)}"
    )


def met(result: Result) -> str:
    """Describe whether the target is met."""
    return "met" if result.met else "**not met**"


def missed(row: Row) -> list[str]:
    """Describe each target that is not met, one line for each."""
    return [
        f"{row.name}: {wanted(row, result.target)}, got {reached(row, result)}"
        for result in row.results
        if not result.met
    ]


def _unit(row: Row, target: Target) -> str:
    return UNITS[target.unit or row.units[0]]
