"""Arithmetic of the benchmarks: the order of runs, ratios, targets, and the record that is kept."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import page, table, words
from benchmarks.__main__ import bench
from benchmarks.case import Case, Target
from benchmarks.cases import cases
from benchmarks.failure import BenchmarkFailedError
from benchmarks.record import Record
from benchmarks.rig import Rig
from benchmarks.rounds import measure
from benchmarks.row import Row
from benchmarks.session import Session
from qt_events.testing.broker import Broker

Run = Callable[[], dict[str, float]]


def runner(ran: list[str], name: str, *rates: float) -> Run:
    """Return a run that gives these rates, one a call, and then fails."""
    left = list(rates)

    def run() -> dict[str, float]:
        ran.append(name)
        if not left:
            raise BenchmarkFailedError("no more\nat all")
        return {"rate": left.pop(0)}

    return run


def case(ran: list[str], *targets: Target) -> Case:
    contenders = {
        "ours": runner(ran, "ours", 100, 900, 300),
        "raw": runner(ran, "raw", 400, 600, 500),
    }
    return Case("publish", "confirmed publish", ("rate",), contenders, targets, "So.")


def measured(*targets: Target) -> Row:
    return measure(case([], *targets), 3, lambda _: None)


def record(*rows: Row) -> Record:
    return Record.of(rows, rounds=3, scale=1, seconds=61, rabbitmq="3.10.8")


# Rounds


def test_contenders_take_turns_and_medians_are_compared() -> None:
    """Contenders run A B A B A B, so that other load on the machine meets all of them alike."""
    ran: list[str] = []
    row = measure(case(ran, Target("raw", 0.6)), 3, lambda _: None)
    assert ran == ["ours", "raw"] * 3
    assert (row.spread("ours", "rate").median, row.spread("ours", "rate").most) == (300, 900)
    assert row.result(Target("raw", 0.6)).reached == pytest.approx(0.6)


def test_each_round_has_a_ratio_of_its_own() -> None:
    """The ratio of the medians counts; the spread of the rounds' own ratios stands beside it."""
    by_round = measured(Target("raw", 0.6)).results[0].by_round
    assert by_round is not None
    assert (by_round.least, by_round.median, by_round.most) == (0.25, 0.6, 1.5)


def test_rounds_that_are_asked_for_reach_every_row() -> None:
    """A row with only one round says so; a short and noisy row has more for each asked round."""
    assert Case("a", "a", (), {}).rounds(5) == 5
    assert Case("a", "a", (), {}, times=3).rounds(5) == 15
    assert Case("a", "a", (), {}, once=True).rounds(5) == 1
    for each in every_case():
        assert each.once == ("one round" in each.what)


def test_a_contender_that_fails_is_run_no_more_and_the_others_go_on() -> None:
    """A target that compares with the failed contender is not met, and the row says why."""
    ran: list[str] = []
    contenders = {"ours": runner(ran, "ours", 1, 2, 3), "raw": runner(ran, "raw", 4)}
    row = measure(
        Case("a", "a", ("rate",), contenders, (Target("raw", 0.1), Target("", 1))),
        3,
        lambda _: None,
    )
    assert ran == ["ours", "raw", "ours", "raw", "ours"]
    assert [result.met for result in row.results] == [False, True]
    assert words.figures(row) == ["ours: 2 (1 to 3) events/s", "raw: failed in round 2: no more"]
    assert words.missed(row) == ["a: >= 0.1 x raw, got nothing"]
    assert record(row).failed == ["a: raw failed in round 2: no more\nat all"]


def test_ctrl_c_leaves_what_is_finished() -> None:
    """The unfinished case is left out."""

    def interrupt() -> dict[str, float]:
        raise KeyboardInterrupt

    output = io.StringIO()
    session = Session(3, 1.0, output)
    session.run([case([]), Case("next", "next", ("rate",), {"ours": interrupt}), case([])])
    assert session.interrupted
    assert [row.name for row in session.record("3.10.8").rows] == ["publish"]
    assert "0:00 publish: raw, round 3 of 3\n" in output.getvalue()


# Targets


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("raw", 0.6), True),
        (Target("raw", 0.61), False),
        (Target("raw", 0.6, at_most=True), True),
        (Target("raw", 0.59, at_most=True), False),
        (Target("raw", -200, difference=True), True),
        (Target("raw", 1.5, cap=200), True),
        (Target("raw", 1.51, cap=200), False),
        (Target("raw", 0.6, cap=600), True),
        (Target("", 300), True),
        (Target("", 301), False),
    ],
)
def test_a_target_is_a_ratio_a_difference_or_a_figure(target: Target, met: bool) -> None:
    row = measured(target)
    assert row.results[0].met is met
    assert (words.missed(row) == []) is met
    assert ("**not met**" not in table.markdown(record(row))) is met


def test_a_check_runs_only_what_its_floors_compare() -> None:
    """A check runs ours and the contenders that a floor names."""
    floor = Target("raw", 0.5)
    contenders: dict[str, Run] = dict.fromkeys(("ours", "faststream", "raw"), dict)
    checked = Case(
        "a", "a", ("rate",), contenders, (Target("faststream", 2),), floors=(floor,)
    ).for_check()
    assert (list(checked.contenders), list(checked.targets)) == (["ours", "raw"], [floor])


def every_case(scale: float = 1.0) -> list[Case]:
    return cases(Rig(cast("Broker", None)), scale)


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_every_row_can_be_described_and_compared(scale: float) -> None:
    """Rows have unique names, methods and known units, and compare with their own contenders."""
    every = every_case(scale)
    assert len({each.name for each in every}) == len(every)
    for each in every:
        assert each.method
        assert each.targets
        assert {target.over for target in (*each.targets, *each.floors)} <= {"", *each.contenders}
        assert {
            *each.units,
            *(target.unit for target in each.targets if target.unit),
        } <= words.UNITS.keys()
        assert next(iter(each.contenders)) == "ours"


# The record and the page


def test_every_sample_is_kept_with_what_follows_from_it(tmp_path: Path) -> None:
    record(measured(Target("raw", 0.6))).save(tmp_path / "bench.json")
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert {"date", "commit", "rounds", "scale", "seconds", "machine", "versions"} < kept.keys()
    assert {"python", "rabbitmq", "celery", "kombu", "amqp", "faststream", "pydantic"} < kept[
        "versions"
    ].keys()
    row = kept["rows"][0]
    assert row["rounds"] == 3
    assert row["samples"]["ours"] == [{"rate": 100}, {"rate": 900}, {"rate": 300}]
    assert row["spreads"]["ours"]["rate"] == {"median": 300, "least": 100, "most": 900}
    assert row["results"][0]["reached"] == pytest.approx(0.6)
    assert row["results"][0]["met"]


def test_what_is_read_again_is_what_was_kept(tmp_path: Path) -> None:
    made = record(measured(Target("raw", 0.6)))
    made.save(tmp_path / "bench.json")
    assert Record.read(tmp_path / "bench.json") == made


def test_a_ratio_to_nothing_is_no_division_by_zero_and_no_infinity_in_json(tmp_path: Path) -> None:
    """JSON has no Infinity (RFC 8259, section 6)."""
    row = Row.of(case([], Target("raw", 2)), {"ours": [{"rate": 5}], "raw": [{"rate": 0}]})
    assert row.results[0].reached == float("inf")
    record(row).save(tmp_path / "bench.json")
    kept = json.loads((tmp_path / "bench.json").read_text(), parse_constant=pytest.fail)
    assert kept["rows"][0]["results"][0]["reached"] is None


def test_a_run_is_published_between_two_marks_and_nothing_else_of_the_page_changes() -> None:
    before = page.PAGE.read_text()
    made = record(measured(Target("raw", 0.6)))
    after = page.with_run(before, made)
    assert table.markdown(made) in after
    assert page.with_run(after, made) == after
    assert after.partition("<!--")[0] == before.partition("<!--")[0]
    assert after.rpartition("-->")[2] == before.rpartition("-->")[2]


def test_a_page_without_marks_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="end of the generated part"):
        page.with_run("# Performance\n", record())


def test_publishing_writes_the_page_and_what_it_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page can be generated again from the JSON."""
    shown, kept = tmp_path / "page.md", tmp_path / "page.json"
    shown.write_text(page.PAGE.read_text())
    monkeypatch.setattr(page, "PAGE", shown)
    monkeypatch.setattr(page, "KEPT", kept)
    made = unrated(Target("raw", 2))
    assert run_command(tmp_path, made, "--publish") == 0
    assert Record.read(kept) == made
    assert page.with_run(shown.read_text(), made) == shown.read_text()


def test_the_page_shows_the_run_that_is_kept_beside_it() -> None:
    """docs/performance.md has the table that docs/performance.json gives."""
    shown = page.PAGE.read_text()
    assert page.with_run(shown, Record.read(page.KEPT)) == shown


# The command


def run_command(tmp_path: Path, made: Record, *options: str) -> int:
    made.save(tmp_path / "kept.json")
    app = typer.Typer()
    app.command()(bench)
    given = ["--from", str(tmp_path / "kept.json"), "--folder", str(tmp_path / "out"), *options]
    return CliRunner().invoke(app, given).exit_code


def unrated(*targets: Target, failed: dict[str, str] | None = None) -> Record:
    """Return a record without rates, and so without a chart, which needs the extra `bench`."""
    row = Case("idle", "idle", ("cpu_us",), {}, targets)
    return record(Row.of(row, {"ours": [{"cpu_us": 2}], "raw": [{"cpu_us": 1}]}, failed))


@pytest.mark.parametrize(
    ("made", "options", "status"),
    [
        (unrated(Target("raw", 2)), ("--check",), 0),
        (unrated(Target("raw", 3)), (), 0),
        (unrated(Target("raw", 3)), ("--check",), 1),
        (unrated(failed={"raw": "in round 2: no more"}), (), 1),
        (unrated(), ("--publish", "--only", "idle"), 2),
        (unrated(), ("--publish", "--check"), 2),
    ],
)
def test_the_exit_status_says_what_came_of_it(
    made: Record, options: tuple[str, ...], status: int, tmp_path: Path
) -> None:
    """The status is 1 if a contender fails or a check misses a floor; pages show whole runs."""
    assert run_command(tmp_path, made, *options) == status
