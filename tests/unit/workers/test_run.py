"""`qt-events run`, in memory, its output captured: no terminal."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from qt_events import cli


@pytest.fixture(autouse=True)
def run_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command as its entry point names it, whether or not the package is installed here."""
    monkeypatch.setattr(cli, "entry_points", lambda group: [EntryPoint("run", "workers.commands:run", group)])


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["run", *args])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_json_is_all_there_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """For a program that reads it; and no progress on a stderr that is no terminal."""
    assert run("--days", "25", "--json") == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert (summary["days"], summary["events"]["market.closed"], summary["dead_letters"], err) == (25, 25, 0, "")


def test_writes_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for every hundred days and one for the last, then the summary, without control characters."""
    assert run("--days", "150") == 0
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if " day " in line]
    assert [line.split("  ")[1] for line in lines] == ["day 100/150", "day 150/150"]
    for word in ("trades", "final equity", "largest drawdown", "retries", "dead letters", "orchestrator.on_policy"):
        assert word in out
    assert ("\x1b" in out, err) == (False, "")


def test_replays_another_market(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of the same shape, with other symbols and days."""
    prices = tmp_path / "market.csv"
    prices.write_text("Date,X\n2020-01-02,1\n2020-01-03,1.5\n")
    assert run("--market", str(prices), "--json") == 0
    assert json.loads(capsys.readouterr().out)["days"] == 2


def test_more_days_than_there_are_are_all_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--days` only ever shortens."""
    prices = tmp_path / "market.csv"
    prices.write_text("Date,X\n2020-01-02,1\n")
    assert run("--market", str(prices), "--days", "10", "--json") == 0
    assert json.loads(capsys.readouterr().out)["days"] == 1


@pytest.mark.parametrize("content", [None, "Date,X\n2020-01-02,much\n"])
def test_a_bad_market_file_is_one_line_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    """Missing or malformed: named, with exit code 1."""
    prices = tmp_path / "market.csv"
    if content:
        prices.write_text(content)
    assert run("--market", str(prices)) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert str(prices) in err


@pytest.mark.parametrize("days", ["0", "-1", "many", "1.5"])
def test_bad_days_are_wrong_usage(days: str) -> None:
    """Whole days, from one on."""
    assert run("--days", days) == 2


@pytest.mark.parametrize("url", ["memory://", "carrier-pigeon://u:secret@home", "amqp://u:secret@[::1"])
def test_a_broker_that_is_no_rabbitmq_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--broker` is for RabbitMQ only; the error says what to write, without the password."""
    assert run("--days", "1", "--broker", url) == 1
    err = capsys.readouterr().err
    assert "amqp://user:password@host" in err
    assert "secret" not in err
