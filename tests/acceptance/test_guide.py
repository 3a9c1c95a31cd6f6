"""Pages of docs/ are true: their Python prints what they say, and their commands work.

A ```text block right after a ```python block is what that block prints. The URL
`amqp://guest:guest@localhost:5672//` stands for a broker and is replaced by the test's own.
"""

import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from qt_events.testing.keeper import Keeper
from tests.support.pages import ROOT, URL, blocks, commands

DOCS = ROOT / "docs"
BIN = Path(sys.executable).parent

#: Pages whose Python another test runs in its own way.
ELSEWHERE = ("backends.md", "logging.md", "testing.md")
RUN_HERE = [
    page
    for page in sorted(DOCS.glob("*.md"))
    if page.name not in ELSEWHERE and blocks(page, "python")
]


def run(command: Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout."""
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


# Python


@pytest.mark.parametrize("page", RUN_HERE, ids=lambda page: page.name)
def test_python(page: Path, amqp_url: str) -> None:
    """Each block runs after those before it, and prints exactly what the page says."""
    command = [sys.executable, "-W", "error", "-m", "tests.support.pages", str(page), amqp_url]
    finished = run(command)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("page", RUN_HERE, ids=lambda page: page.name)
def test_every_block_is_found(page: Path) -> None:
    """No block escapes the tests by its form."""
    fences = re.findall(r"^ *```(\w+)", page.read_text(), re.MULTILINE)
    for language in ("python", "bash"):
        assert fences.count(language) == len(blocks(page, language))


@pytest.mark.parametrize("page", ELSEWHERE)
def test_other_pages_are_run_elsewhere(page: str) -> None:
    """A page that is not run here has Python, and another test reads it."""
    assert blocks(DOCS / page, "python")
    others = (path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    assert any(f'"{page}"' in path.read_text() for path in others)


# Shell

COMMAND_PAGES = [ROOT / "README.md"] + [
    DOCS / name for name in ("quantum-trader.md", "retries.md", "workers.md")
]
COMMANDS = [line for page in COMMAND_PAGES for line in commands(page)]


def lines(pattern: str) -> list[str]:
    """Return the commands that a pattern matches."""
    return [line for line in COMMANDS if re.match(pattern, line)]


PIP, MAKE = lines("pip install "), lines("make ")
REPLAY = lines(r"(\w+=\S+ )?python -m workers run ")
CELERY = lines(r"\w+=\S+ celery ")
WORKER, DEAD_LETTERS = lines("qt-events worker "), lines("qt-events dead-letters ")
PROGRAM = lines(r"python prices\.py")  # by test_readme.py


def test_every_command_is_tested() -> None:
    """A line of another kind needs a test here."""
    kinds = (PIP, MAKE, REPLAY, CELERY, WORKER, DEAD_LETTERS, PROGRAM)
    assert all(kinds)
    assert sorted(line for kind in kinds for line in kind) == sorted(COMMANDS)


@pytest.mark.parametrize("line", PIP)
def test_pip_install(line: str) -> None:
    """The package has this name."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert shlex.split(line) == ["pip", "install", project["name"]]


@pytest.mark.parametrize("line", MAKE)
def test_make(line: str) -> None:
    """The target exists; other tests show what it does."""
    target = shlex.split(line)[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def parts(line: str, url: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables that a command sets, and its words."""
    words = shlex.split(line.replace(URL, url))
    assignments = [word for word in words if re.match(r"[A-Z_]+=", word)]
    variables = dict(word.split("=", 1) for word in assignments)
    return variables, words[len(assignments) :]


@pytest.mark.parametrize("line", REPLAY)
def test_replay(line: str, amqp_url: str) -> None:
    """The replay ends well."""
    variables, (_, *args) = parts(line, amqp_url)
    finished = run([sys.executable, *args], **variables)
    assert finished.returncode == 0, finished.stderr
    assert '"days": 20' in finished.stdout


@pytest.mark.parametrize("line", DEAD_LETTERS)
def test_dead_letters(line: str, amqp_url: str) -> None:
    """The command works once Quantum Trader's queues are declared."""
    for command in ("qt-events topology declare --app workers", line):
        _, (program, *args) = parts(command, amqp_url)
        finished = run([BIN / program, *args], CELERY_BROKER_URL=amqp_url)
        assert finished.returncode == 0, finished.stderr


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """End the worker that a test starts."""
    keeper = Keeper("qt-events-guide-")
    yield keeper
    keeper.close()


@pytest.mark.parametrize("line", CELERY)
def test_celery(line: str, amqp_url: str, keeper: Keeper) -> None:
    """The worker comes up in the checkout."""
    variables, (_, *args) = parts(line, amqp_url)
    command = [sys.executable, "-m", "celery", "--workdir", str(ROOT), *args, "--loglevel", "INFO"]
    comes_up(keeper, command, variables)


@pytest.mark.parametrize("line", WORKER)
def test_worker(line: str, amqp_url: str, keeper: Keeper) -> None:
    """The library's own command comes up too."""
    _, (program, *args) = parts(line, amqp_url)
    command = [str(BIN / program), *args, "--loglevel", "INFO"]
    comes_up(keeper, command, {"CELERY_BROKER_URL": amqp_url})


def comes_up(keeper: Keeper, command: list[str], environment: dict[str, str]) -> None:
    """Return when this worker is ready."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    worker = keeper.spawn("worker", command, variables)
    log, deadline = keeper.folder / "worker.out", time.monotonic() + 60
    while " ready." not in log.read_text():
        assert worker.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
