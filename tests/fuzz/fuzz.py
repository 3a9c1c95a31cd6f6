"""The fuzzer: `python -m tests.fuzz.fuzz --inputs 1000000 --seed 1 --processes 2`.

Draws messages by mutation, sends each down one of the targets, and mutates what led somewhere new.
Anything but a named error of the library is a failure: it is cut down to its smallest and printed,
exit status 1.
"""

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import get_context
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from tests.fuzz.mutation import Input, Mutator
from tests.fuzz.targets import TARGETS, UnwritableError

_WEIGHTS = {"codec": 5, "queue": 4, "dead letters": 1}
# Inputs of one process between two steps of the bar
_PORTION = 5_000
UNWRITABLE = "not writable, not counted"


@dataclass
class Report:
    """Result of a run."""

    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)  #: by target and outcome
    #: By error and place: traceback, input
    failures: dict[str, tuple[str, Input]] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """Messages that were read by a target, without those that nobody could have sent."""
        return sum(times for (_, kind), times in self.kinds.items() if kind != UNWRITABLE)

    def add(self, other: "Report") -> None:
        self.kinds.update(other.kinds)
        self.failures = {**other.failures, **self.failures}


def fuzz(seed: int, inputs: int) -> Report:
    """Try so many messages that could have been sent; the same seed draws the same."""
    mutator, choose, report, tried = Mutator(seed), random.Random(seed), Report(), 0
    names, weights = [*_WEIGHTS], [*_WEIGHTS.values()]
    while tried < inputs:
        drawn, name = mutator.draw(), choose.choices(names, weights)[0]
        kind, failure = attempt(TARGETS[name], drawn)
        tried += kind != UNWRITABLE
        if (name, kind) not in report.kinds:
            mutator.learn(drawn)
            if failure:
                report.failures[kind] = (failure, smallest(TARGETS[name], drawn, kind))
        report.kinds[name, kind] += 1
    return report


def attempt(target: Callable[[Input], str], drawn: Input) -> tuple[str, str]:
    """Return the kind of outcome, and the traceback if it is a failure."""
    try:
        return target(drawn), ""
    except UnwritableError:
        return UNWRITABLE, ""
    except Exception as error:  # noqa: BLE001  # that is what it looks for
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"FAILURE {type(error).__name__} at {place.name}:{place.lineno}",
            traceback.format_exc(),
        )


def smallest(target: Callable[[Input], str], failing: Input, kind: str) -> Input:
    """Return the input with as much left out as still fails in the same way."""
    for candidate in _simpler(failing):
        if attempt(target, candidate)[0] == kind:
            return smallest(target, candidate, kind)
    return failing


def _simpler(given: Input) -> Iterator[Input]:
    yield from (
        replace(given, properties=_without(given.properties, name)) for name in given.properties
    )
    yield from (replace(given, headers=_without(given.headers, name)) for name in given.headers)
    if given.scars:
        yield replace(given, scars=given.scars[1:])
    size = len(given.body) // 2
    while size:
        yield from (
            replace(given, body=given.body[:at] + given.body[at + size :])
            for at in range(0, len(given.body), size)
        )
        size //= 2


def _without(held: dict[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in held.items() if each != name}


def in_processes(seed: int, inputs: int, processes: int, console: Console) -> Report:
    """Run `fuzz` in portions, each with a seed of its own, on so many processes."""
    report = Report()
    portions = [min(_PORTION, inputs - done) for done in range(0, inputs, _PORTION)]
    columns = (
        TextColumn("fuzzing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        ProcessPoolExecutor(processes, get_context("spawn")) as pool,
        Progress(*columns, console=console) as progress,
    ):
        bar = progress.add_task("", total=inputs)
        seeds = range(seed * 1_000_000, seed * 1_000_000 + len(portions))
        for part in pool.map(fuzz, seeds, portions):
            report.add(part)
            progress.advance(bar, part.inputs)
    return report


def _families(report: Report) -> Counter[tuple[str, str]]:
    """Group failures by target and error, whatever the text."""
    families: Counter[tuple[str, str]] = Counter()
    for (target, kind), times in report.kinds.items():
        families[target, kind.partition(":")[0]] += times
    return families


def _table(report: Report, seconds: float) -> Table:
    table = Table(
        "target", "outcome", "inputs", title=f"{report.inputs:,} inputs in {seconds:.0f} s"
    )
    for (target, family), times in sorted(_families(report).items()):
        table.add_row(target, family, f"{times:,}")
    table.add_row("", "different texts", f"{len(report.kinds):,}")
    return table


def main() -> int:
    """Return 0 if nothing but named errors came out."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.fuzz",
        description="Strange messages, until one breaks something.",
    )
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    console, started = Console(), time.monotonic()
    report = in_processes(options.seed, options.inputs, options.processes, console)
    console.print(_table(report, time.monotonic() - started))
    for failure, found in islice(report.failures.values(), 10):
        console.print(failure, repr(found), markup=False)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
