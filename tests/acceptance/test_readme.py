"""README.md is true: its program, and the trace of a trade, print what the page says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ROOT, URL, blocks, commands, shows

README, HISTORY = ROOT / "README.md", ROOT / "docs" / "history.md"
PROGRAM = "prices.py"
# Code and tables included, outputs not; about 500 of them are prose
MOST_WORDS = 700  # a hundred of them are the table of versions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Hold the program, as README.md tells a reader to save it."""
    (program,) = blocks(README, "python")
    (tmp_path / PROGRAM).write_text(program.text)
    return tmp_path


@pytest.mark.parametrize("line", [each for each in commands(README) if each.startswith("python ")])
def test_the_program_prints_what_the_page_says(line: str, folder: Path, amqp_url: str) -> None:
    """The same program prints the same in memory and over RabbitMQ."""
    program, *args = shlex.split(line.replace(URL, amqp_url))
    assert program == "python"
    command = [sys.executable, "-W", "error", *args]
    finished = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=90, cwd=folder
    )
    assert finished.returncode == 0, finished.stderr
    shown = blocks(README, "text")[0]
    assert finished.stdout == shown.text


def test_the_program_is_run_in_memory_and_over_rabbitmq() -> None:
    """README.md shows both ways to start it."""
    assert [each for each in commands(README) if PROGRAM in each] == [
        f"python {PROGRAM}",
        f"python {PROGRAM} {URL}",
    ]


def test_the_program_has_about_twenty_lines() -> None:
    """Imports and empty lines apart, the program is as short as the heading says."""
    (program,) = blocks(README, "python")
    lines = [line for line in program.text.splitlines() if line]
    assert len(lines) <= 20


def test_readme_is_short() -> None:
    """A newcomer reads all of it, and looks at what the commands print."""
    outputs = sum(len(block.text.split()) for block in blocks(README, "text"))
    assert len(README.read_text().split()) - outputs <= MOST_WORDS


#: Days until the first trades. Ids are the same in every run.
DAYS = "25"


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Record some days, and trace a trade, as README.md says."""
    run, trace = (line for line in commands(README) if "run.db" in line)
    folder = tmp_path_factory.mktemp("recorded")
    assert run == 'make run ARGS="--history run.db"'
    record = ["-m", "workers", "run", "--history", "run.db", "--days", DAYS]
    program, *words = shlex.split(trace)
    assert program == ".venv/bin/qt-events"
    for arguments in (record, ["-m", "qt_events", *words]):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", [README, HISTORY], ids=lambda page: page.name)
def test_the_trace_of_a_trade_is_what_the_page_shows(page: Path, trace: str) -> None:
    """But for times and what the page has shortened."""
    (excerpt,) = (each.text for each in blocks(page, "text") if each.text.startswith("market.c"))
    assert "trade.executed  cb79b168…" in excerpt
    assert shows(excerpt, trace), trace
    assert not shows(excerpt.replace("risk_guard.on", "risk_guard.off"), trace)


def test_links() -> None:
    """README.md links to files that exist."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text())
    assert [target for target in targets if not (ROOT / target).exists()] == []
