"""`python -m workers run`, in memory and without a terminal."""

import importlib.util
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from workers.__main__ import main

PNG = b"\x89PNG\r\n\x1a\n"


def run(*args: str) -> Any:
    """Return the exit status."""
    with pytest.raises(SystemExit) as end:
        main(["run", *args])
    return end.value.code


@pytest.fixture
def two_days(tmp_path: Path) -> str:
    """Path of a market of one symbol and two days."""
    prices = tmp_path / "market.csv"
    prices.write_text("Date,X\n2020-01-02,1\n2020-01-03,1.5\n")
    return str(prices)


def test_json_is_all_there_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads it. Without a terminal there is no progress on stderr either."""
    assert run("--days", "25", "--json") == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert (summary["days"], summary["events"]["market.closed"]) == (25, 25)
    assert (summary["dead_letters"], err) == (0, "")


def test_without_a_terminal_progress_is_a_line_for_every_hundred_days(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last day has a line too, and nothing holds control characters."""
    assert run("--days", "101") == 0
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if "  day " in line]
    assert [line.split("  ")[1] for line in lines] == ["day 100/101", "day 101/101"]
    assert ("\x1b" in out, err) == (False, "")


def test_the_report_shows_the_bus_then_a_journey_then_the_equity(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report has about forty lines of at most a hundred columns; the details have the rest."""
    monkeypatch.setenv("COLUMNS", "100")
    assert run("--days", "60") == 0
    out = capsys.readouterr().out
    order = [
        *("60 trading days in", "events/s", "deliveries", "retries", "dead letters"),
        *("Journey of one market.closed", "trading.opened", "trade.executed", "health.checked"),
        *("final equity", "2007-01-03", "2007-03-29"),
        *("same in memory and over RabbitMQ", "--days 60 --broker amqp://", "make fleet"),
    ]
    place = out.index("Quantum Trader on the event bus")
    for word in order:
        place = out.index(word, place)
    assert "metrics_logger.on_trade_executed" not in out
    lines = out.splitlines()[1:]
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 100


def test_details_show_every_event_subscription_and_component(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--days", "40", "--details") == 0
    out = capsys.readouterr().out
    for word in (
        "orchestrator.on_policy_updated",
        "metrics_logger.on_trade_executed",
        "orders.requested",
        "days_by_strategy",
        "profit",
    ):
        assert word in out


@pytest.mark.parametrize("name", ["equity.png", "equity.svg", "EQUITY.SVG"])
def test_the_chart_is_written_as_a_picture(two_days: str, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert run("--market", two_days, "--chart", str(path), "--json") == 0
    content = path.read_bytes()
    if path.suffix == ".png":
        assert content.startswith(PNG)
    else:
        root = ET.fromstring(content)  # noqa: S314  # written by this test
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize(
    ("name", "advice"),
    [("equity.jpg", "written as .png or .svg"), ("nowhere/equity.png", "there is no folder")],
)
def test_a_chart_that_cannot_be_written_is_refused_before_the_replay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, advice: str
) -> None:
    """One line, exit code 2, and no day has been replayed."""
    assert run("--chart", str(tmp_path / name)) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), advice in err) == ("", 1, True)


def test_a_chart_without_matplotlib_names_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.replay.equity.find_spec", lambda name: None)
    assert importlib.util.find_spec("matplotlib") is not None
    assert run("--chart", str(tmp_path / "equity.png")) == 2
    err = capsys.readouterr().err
    assert err == "workers: --chart needs matplotlib: pip install -e '.[chart]'\n"


def test_another_market_is_a_file_of_the_same_shape(
    two_days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--market", two_days, "--json") == 0
    assert json.loads(capsys.readouterr().out)["days"] == 2


def test_days_beyond_the_market_are_ignored(
    two_days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--market", two_days, "--days", "10", "--json") == 0
    assert json.loads(capsys.readouterr().out)["days"] == 2


def test_one_day_is_a_report_too(two_days: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has no trades, and the curve has one point."""
    assert run("--market", two_days, "--days", "1") == 0
    out = capsys.readouterr().out
    assert "Journey of one market.closed, the last day:" in out
    assert "100,000.00" in out


@pytest.mark.parametrize("content", [None, "Date,X\n2020-01-02,much\n"])
def test_a_bad_market_file_is_one_line_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    """Missing or malformed, it is named, and the exit code is 1."""
    prices = tmp_path / "market.csv"
    if content:
        prices.write_text(content)
    assert run("--market", str(prices)) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("workers: ")
    assert str(prices) in err


@pytest.mark.parametrize("days", ["0", "-1", "many", "1.5"])
def test_bad_days_are_wrong_usage(days: str) -> None:
    assert run("--days", days) == 2


@pytest.mark.parametrize(
    "url", ["memory://", "carrier-pigeon://u:secret@home", "amqp://u:secret@[::1"]
)
def test_a_broker_that_is_no_rabbitmq_is_refused(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says what to write, without the password."""
    assert run("--days", "1", "--broker", url) == 1
    err = capsys.readouterr().err
    assert "amqp://user:password@host" in err
    assert "secret" not in err
