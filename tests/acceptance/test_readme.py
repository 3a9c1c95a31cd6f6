"""README.md is true: its program prints what the page says, in memory and over RabbitMQ."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ROOT, URL, blocks, commands

README = ROOT / "README.md"
PROGRAM = "prices.py"
# Code and tables included; about 500 of them are prose
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
    (shown,) = blocks(README, "text")
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
    """A newcomer reads all of it."""
    assert len(README.read_text().split()) <= MOST_WORDS


def test_links() -> None:
    """README.md links to files that exist."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text())
    assert [target for target in targets if not (ROOT / target).exists()] == []
