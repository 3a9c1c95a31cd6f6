"""Pages of docs/ are true: their Python prints what they say, and their commands work.

A ```text block right after a ```python block is what that block prints. The URL
`amqp://guest:guest@localhost:5672//` stands for a broker and is replaced by the test's own.
"""

import os
import re
import shlex
import sys
import time
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from qt_events.testing.broker import Broker
from tests.support.fleet.forks import ForkingKeeper
from tests.support.pages import ROOT, URL, blocks, commands

DOCS = ROOT / "docs"
#: Seconds for a command, or for a worker to come up.
PATIENCE = 90.0

#: Pages whose Python another test runs in its own way.
ELSEWHERE = ("backends.md", "logging.md", "testing.md")
RUN_HERE = [
    page
    for page in sorted(DOCS.glob("*.md"))
    if page.name not in ELSEWHERE and blocks(page, "python")
]


class Programs:
    """Programs that a test runs with the checkout's modules."""

    def __init__(self) -> None:
        self._keeper = ForkingKeeper("qt-events-guide-")

    def start(self, name: str, arguments: Sequence[str], **variables: str) -> Any:
        """Start a Python program, such as `-m celery`."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        return self._keeper.spawn(name, [sys.executable, *arguments], environment)

    def run(self, *arguments: str, **variables: str) -> str:
        """Return what a program prints; its exit code is 0."""
        status = self.start("program", arguments, **variables).wait(PATIENCE)
        assert status == 0, self.output("program")
        return self.output("program")

    def output(self, name: str) -> str:
        return (self._keeper.folder / f"{name}.out").read_text(errors="replace")

    def close(self) -> None:
        self._keeper.close()


@pytest.fixture
def programs() -> Iterator[Programs]:
    """Run programs, and end those that still run."""
    opened = Programs()
    yield opened
    opened.close()


# Python


@pytest.mark.parametrize("page", RUN_HERE, ids=lambda page: page.name)
def test_python(page: Path, amqp_url: str, programs: Programs) -> None:
    """Each block runs after those before it, and prints exactly what the page says."""
    programs.run("-m", "tests.support.pages", str(page), amqp_url)


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
PROGRAM, TRACE = lines(r"python prices\.py"), lines(r"\S+qt-events history")  # by test_readme.py


def test_every_command_is_tested() -> None:
    """A line of another kind needs a test here."""
    kinds = (PIP, MAKE, REPLAY, CELERY, WORKER, DEAD_LETTERS, PROGRAM, TRACE)
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
def test_replay(line: str, amqp_url: str, programs: Programs) -> None:
    """The replay ends well."""
    variables, (program, *args) = parts(line, amqp_url)
    assert program == "python"
    assert '"days": 20' in programs.run(*args, **variables)


# Quantum Trader's queues, which the lines below need, are declared once: that takes seconds.


@pytest.fixture(scope="module")
def trader(broker: Broker) -> Iterator[str]:
    """Return the URL of a vhost with Quantum Trader's queues, declared as the pages say."""
    name, programs = f"qt-test-{uuid.uuid4().hex}", Programs()
    url = broker.management.create_vhost(name)
    programs.run(*qt_events("topology declare --app workers"), CELERY_BROKER_URL=url)
    programs.close()
    yield url
    broker.management.delete_vhost(name)


def qt_events(words: str) -> list[str]:
    """Return the arguments of `qt-events` for Python."""
    return ["-m", "qt_events", *shlex.split(words)]


@pytest.mark.parametrize("line", DEAD_LETTERS)
def test_dead_letters(line: str, trader: str, programs: Programs) -> None:
    """The command works once Quantum Trader's queues are declared."""
    programs.run(*qt_events(line.removeprefix("qt-events ")), CELERY_BROKER_URL=trader)


@pytest.mark.parametrize("line", CELERY)
def test_celery(line: str, trader: str, programs: Programs) -> None:
    """The worker comes up in the checkout."""
    variables, (program, *args) = parts(line, trader)
    assert program == "celery"
    comes_up(programs, ["-m", "celery", "--workdir", str(ROOT), *args], **variables)


@pytest.mark.parametrize("line", WORKER)
def test_worker(line: str, trader: str, programs: Programs) -> None:
    """The library's own command comes up too."""
    words = line.removeprefix("qt-events ")
    comes_up(programs, qt_events(words), CELERY_BROKER_URL=trader)


def comes_up(programs: Programs, arguments: list[str], **variables: str) -> None:
    """Return when this worker is ready."""
    worker = programs.start("worker", [*arguments, "--loglevel", "INFO"], **variables)
    deadline = time.monotonic() + PATIENCE
    while " ready." not in programs.output("worker"):
        assert worker.poll() is None, programs.output("worker")
        assert time.monotonic() < deadline, programs.output("worker")
        time.sleep(0.05)
