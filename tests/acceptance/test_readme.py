"""README.md says what is true: its Python runs, in order, as one program, and prints what stands below each block.

A block ```text right after a block ```python is what that one prints. The URL `amqp://guest:guest@localhost:5672//`
stands for a broker and is replaced by the test's own. Of ```bash, each line is run or shown to be runnable.
"""

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qt_events import CeleryEventBus
from qt_events.testing.keeper import Keeper

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
URL = "amqp://guest:guest@localhost:5672//"
BIN = Path(sys.executable).parent

_BLOCK = re.compile(
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```\n(\n```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    language: str
    text: str
    line: int  #: of README.md, where `text` begins
    output: str

    def compiled(self, url: str) -> Any:
        """With `await` allowed at the top level, and README.md's line numbers in tracebacks."""
        source = "\n" * (self.line - 1) + self.text.replace(URL, url)
        return compile(source, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def blocks(language: str) -> list[Block]:
    text = README.read_text()
    found = (
        Block(
            match["language"],
            match["text"],
            text.count("\n", 0, match.start("text")) + 1,
            match["output"] or "",
        )
        for match in _BLOCK.finditer(text)
    )
    return [block for block in found if block.language == language]


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Of a module `readme`; its event classes are forgotten afterwards, and its buses closed."""
    monkeypatch.setattr("qt_events.events.event._classes", _registered_by_the_library())
    module = ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)
    opened = _remember_buses(monkeypatch)
    yield module.__dict__
    for bus in opened:
        bus.close()


def _remember_buses(monkeypatch: pytest.MonkeyPatch) -> list[CeleryEventBus]:
    opened: list[CeleryEventBus] = []
    init = CeleryEventBus.__init__

    def remember(bus: CeleryEventBus, *args: Any, **options: Any) -> None:
        init(bus, *args, **options)
        opened.append(bus)

    monkeypatch.setattr(CeleryEventBus, "__init__", remember)
    return opened


def _registered_by_the_library() -> dict[str, Any]:
    from qt_events.events import event as events

    return {
        name: {
            version: cls
            for version, cls in versions.items()
            if cls.__module__.startswith("qt_events.")
        }
        for name, versions in events._classes.items()  # noqa: SLF001
    }


async def test_python(
    namespace: dict[str, Any], amqp_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each block runs after those before it, and prints exactly what README.md says."""
    for block in blocks("python"):
        result = eval(block.compiled(amqp_url), namespace)  # noqa: S307
        if inspect.iscoroutine(result):
            await result
        assert capsys.readouterr().out == block.output, f"README.md, line {block.line}"


def test_blocks_are_found() -> None:
    """No block escapes the tests by its form."""
    fences = re.findall(r"^```(\w*)", README.read_text(), re.MULTILINE)
    assert fences.count("python") == len(blocks("python"))
    assert fences.count("bash") == len(blocks("bash"))
    assert fences.count("text") == sum(bool(block.output) for block in blocks("python"))


# Shell

COMMANDS = [
    line.partition("  #")[0] for block in blocks("bash") for line in block.text.splitlines()
]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_make(line: str) -> None:
    """The target exists; what it does is shown elsewhere."""
    target = shlex.split(line)[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("qt-events run ")])
def test_qt_events(line: str, amqp_url: str) -> None:
    """The command ends well."""
    program, *args = shlex.split(line.replace(URL, amqp_url))
    finished = subprocess.run(
        [BIN / program, *args], check=False, capture_output=True, text=True, timeout=90
    )
    assert finished.returncode == 0, finished.stderr
    assert '"days": 20' in finished.stdout


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """Ends the worker that a test starts."""
    keeper = Keeper("qt-events-readme-")
    yield keeper
    keeper.close()


@pytest.mark.parametrize("line", [line for line in COMMANDS if " celery " in line])
def test_celery(line: str, amqp_url: str, keeper: Keeper) -> None:
    """The worker comes up, in the folder that README.md is in."""
    setting, _, *args = shlex.split(line.replace(URL, amqp_url))
    name, _, value = setting.partition("=")
    command = [sys.executable, "-m", "celery", "--workdir", str(ROOT), *args, "--loglevel", "INFO"]
    comes_up(keeper, command, {name: value})


@pytest.mark.parametrize(
    "line", [line for line in COMMANDS if line.startswith("qt-events worker ")]
)
def test_worker(line: str, amqp_url: str, keeper: Keeper) -> None:
    """So does the short form."""
    program, *args = shlex.split(line)
    comes_up(
        keeper, [str(BIN / program), *args, "--loglevel", "INFO"], {"CELERY_BROKER_URL": amqp_url}
    )


@pytest.mark.parametrize(
    "line", [line for line in COMMANDS if line.startswith("qt-events dead-letters ")]
)
def test_dead_letters(line: str, amqp_url: str) -> None:
    """Of Quantum Trader, whose queues stand."""
    for command in ("qt-events topology declare --app workers", line):
        program, *args = shlex.split(command)
        environment = {**os.environ, "CELERY_BROKER_URL": amqp_url, "PYTHONPATH": str(ROOT)}
        finished = subprocess.run(
            [BIN / program, *args],
            check=False,
            capture_output=True,
            text=True,
            timeout=90,
            env=environment,
            cwd=ROOT,
        )
        assert finished.returncode == 0, finished.stderr


def comes_up(keeper: Keeper, command: list[str], environment: dict[str, str]) -> None:
    """Return when this worker is ready."""
    worker = keeper.spawn("worker", command, {**os.environ, "PYTHONPATH": str(ROOT), **environment})
    log, deadline = keeper.folder / "worker.out", time.monotonic() + 60
    while " ready." not in log.read_text():
        assert worker.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_every_command_is_tested() -> None:
    """A line of another kind needs a test here."""
    assert [
        line for line in COMMANDS if not re.match(r"make |qt-events |\w+=\S+ celery ", line)
    ] == []


def test_links() -> None:
    """What README.md links to is there."""
    targets = re.findall(r"\]\(([^)]+)\)", README.read_text())
    assert [target for target in targets if not (ROOT / target).exists()] == []
