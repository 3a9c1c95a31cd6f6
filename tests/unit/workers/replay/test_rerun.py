"""A recorded market once more: it ends in the same trades, and another rule shows where not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import workers
from workers.__main__ import main

PROGRAM = "import typer; from qt_events.cli.rerun import rerun; typer.run(rerun)"
#: Until the first trades, and some that follow from them.
DAYS = "45"
#: Of workers/system/trading/risk_guard.py, and what it is changed to.
RULE = "order.confidence < policy.global_min_confidence"
CHANGED = f"order.symbol == 'UNH' or {RULE}"


def rerun(folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    """Run `qt-events rerun -A workers` for the package that is in a folder."""
    env = {**os.environ, "QT_HISTORY": f"sqlite:///{folder}/run.db", "QT_APP": "workers"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *args],
        cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """Record some days; return the folder of the history and of a copy with another rule."""
    with pytest.raises(SystemExit) as end:
        main(["run", "--days", DAYS, "--history", str(tmp_path / "run.db"), "--json"])
    assert end.value.code == 0
    shutil.copytree(Path(workers.__file__).parent, tmp_path / "workers")
    guard = tmp_path / "workers/system/trading/risk_guard.py"
    text = guard.read_text()
    assert text.count(RULE) == 1
    guard.write_text(text.replace(RULE, CHANGED))
    return tmp_path


def test_a_changed_rule_shows_which_trade_differs_first(
    capfd: pytest.CaptureFixture[str], changed: Path
) -> None:
    summary = json.loads(capfd.readouterr().out)
    ended = rerun(changed, "--type", "trade.executed", "--json")
    assert (ended.returncode, ended.stderr) == (1, "")
    found: dict[str, Any] = json.loads(ended.stdout)
    assert (found["fed"], found["dead_letters"]) == (int(DAYS), 0)
    first = found["first"][0]
    assert (first["kind"], first["rerun"]) == ("missing", None)
    assert first["history"]["payload"]["symbol"] == "UNH"
    assert first["causes"][0] == "market.closed"
    assert first["causes"][-1] == "orders.approved"
    # The rule as it was: the same trades, from the same prices.
    shutil.rmtree(changed / "workers")
    ended = rerun(changed, "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    same = json.loads(ended.stdout)
    assert (same["differ"], same["history"]) == (0, sum(summary["events"].values()))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "give --history a new file"),
        (("--broker", "amqp://localhost//"), "leave out --broker"),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    """A file of another run, and a run whose queues are deleted at its end."""
    (tmp_path / "run.db").touch()
    with pytest.raises(SystemExit) as end:
        main(["run", "--days", "1", "--history", str(tmp_path / "run.db"), *more])
    assert end.value.code == 1
    assert said in capfd.readouterr().err


def test_a_folder_that_is_not_there_is_a_named_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "--days", "1", "--history", str(tmp_path / "none/run.db")])
    assert end.value.code == 1
    assert "run.db" in capfd.readouterr().err
