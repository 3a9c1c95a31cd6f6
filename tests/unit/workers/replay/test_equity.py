"""Equity: its curve on the terminal."""

from datetime import date, timedelta

import pytest

from workers.replay.equity import DayEquity, sparkline, terminal_chart


def curve(*amounts: float) -> list[DayEquity]:
    days = (date(2024, 1, 1) + timedelta(number) for number in range(len(amounts)))
    return [DayEquity(*pair) for pair in zip(days, amounts, strict=True)]


def test_a_rising_sparkline_goes_from_the_lower_left_to_the_upper_right() -> None:
    lines = sparkline([1, 2, 3, 4, 5, 6, 7, 8], width=8, height=4).splitlines()
    starts = [len(line) - len(line.lstrip()) for line in lines]
    assert len(lines) == 4
    assert starts == sorted(starts, reverse=True)
    assert starts[0] > starts[-1]


@pytest.mark.parametrize("count", [1, 2, 20, 1000])
def test_a_sparkline_keeps_to_its_size(count: int) -> None:
    lines = sparkline(
        [float(number % 7) for number in range(count)], width=20, height=5
    ).splitlines()
    assert len(lines) <= 5
    assert max(map(len, lines)) <= 20


def test_a_sparkline_of_many_values_ends_with_the_newest() -> None:
    """The last value is the only one that stands out."""
    lines = sparkline([*([0.0] * 1000), 1.0], width=20, height=5).splitlines()
    assert len(lines[0].rstrip()) == 20
    assert lines[0][:19].strip() == ""


def test_the_chart_has_days_and_amounts_at_its_axes() -> None:
    text = terminal_chart(curve(*range(90_000, 110_001, 100)), width=80, height=9)
    for word in ("2024-01-01", "2024-07-19", "90,000", "100,000", "110,000"):
        assert word in text
    lines = text.splitlines()
    assert len(lines) <= 9
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text


@pytest.mark.parametrize("amounts", [[100.0], [100.0, 100.0, 100.0]])
def test_a_flat_curve_has_a_chart(amounts: list[float]) -> None:
    text = terminal_chart(curve(*amounts), width=80, height=9)
    assert text.count("100") >= 1
    assert "2024-01-01" in text
