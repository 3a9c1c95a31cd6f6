"""The arithmetic of the benchmarks: who runs when, what a ratio is, and when a target is met."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.pace import percentiles
from benchmarks.rounds import Case, Row, Target, measure
from benchmarks.tally import Count, Tally


def case(ran: list[str], *targets: Target) -> Case:
    def runner(name: str, *rates: float) -> Callable[[], dict[str, float]]:
        left = list(rates)

        def run() -> dict[str, float]:
            ran.append(name)
            return {"rate": left.pop(0)}

        return run

    contenders = {"ours": runner("ours", 100, 900, 300), "raw": runner("raw", 400, 600, 500)}
    return Case("publish", "confirmed publish", ("rate",), contenders, targets)


def test_contenders_take_turns_and_medians_are_compared() -> None:
    """A B A B A B, so that what else the machine does meets all alike."""
    ran: list[str] = []
    row = measure(case(ran, Target("raw", 0.6)), 3, lambda _: None)
    assert ran == ["ours", "raw"] * 3
    assert (row.spread("ours", "rate").median, row.spread("ours", "rate").most) == (300, 900)
    assert row.reached(Target("raw", 0.6)) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("raw", 0.6), True),
        (Target("raw", 0.61), False),
        (Target("raw", 0.6, at_most=True), True),
        (Target("raw", 0.59, at_most=True), False),
        (Target("raw", -200, difference=True), True),
        (Target("", 300), True),
        (Target("", 301), False),
    ],
)
def test_a_target_is_a_ratio_a_difference_or_a_figure(target: Target, met: bool) -> None:
    row = measure(case([], target), 3, lambda _: None)
    assert target.met(row.reached(target)) is met
    assert (report.missed([row]) == []) is met
    assert ("**not met**" not in report.markdown([row])) is met


def test_what_nobody_reached_is_no_division_by_zero() -> None:
    row = Row(case([]), {"ours": [{"rate": 5}], "raw": [{"rate": 0}]})
    assert row.reached(Target("raw", 2)) == float("inf")


def test_every_sample_is_kept(tmp_path: Path) -> None:
    row = measure(case([], Target("raw", 0.6)), 3, lambda _: None)
    report.save([row], tmp_path / "bench.json")
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["rows"][0]["samples"]["ours"] == [{"rate": 100}, {"rate": 900}, {"rate": 300}]
    assert kept["rows"][0]["targets"][0]["met"]


def test_processes_are_counted_together(tmp_path: Path) -> None:
    assert Count.of(tmp_path).hits == 0
    tally = Tally(tmp_path)
    for _ in range(3):
        tally.hit()
    (tmp_path / "another").write_bytes(next(tmp_path.iterdir()).read_bytes())
    assert Count.of(tmp_path).hits == 6


def test_percentiles_are_milliseconds() -> None:
    found = percentiles([number / 1000 for number in range(1, 1001)])
    assert found["p50_ms"] == pytest.approx(500, abs=1)
    assert found["p99_ms"] == pytest.approx(990, abs=2)
