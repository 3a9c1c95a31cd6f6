"""Run interleaved rounds, A B C A B C ...: other load on the machine meets all contenders alike."""

from collections.abc import Callable

from benchmarks.case import Case
from benchmarks.failure import BenchmarkFailedError
from benchmarks.row import Row


def measure(case: Case, asked: int, report: Callable[[str], None]) -> Row:
    """Run each contender once a round. One that fails is not run again; the others go on."""
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in case.contenders}
    failed: dict[str, str] = {}
    rounds = case.rounds(asked)
    for number in range(1, rounds + 1):
        for name in [each for each in case.contenders if each not in failed]:
            report(f"{case.name}: {name}, round {number} of {rounds}")
            try:
                samples[name].append(dict(case.contenders[name]()))
            except BenchmarkFailedError as error:
                failed[name] = f"in round {number}: {error}"
                report(f"{case.name}: {name} failed {failed[name]}")
    return Row.of(case, samples, failed)
