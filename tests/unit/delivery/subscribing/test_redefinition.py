"""Redefinition: a cell that runs again, or a reloaded module, brings no second handler."""

import importlib
import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qt_events.errors import DuplicateSubscriptionError
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus

Run = Callable[[str], None]
TOP = "heard = []\nfrom qt_events import *\nbus = InMemoryEventBus()"


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a session's `__main__`, which has no file, as IPython makes it."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


@pytest.fixture
def run(notebook: ModuleType) -> Run:
    """Run a cell as ipykernel does: in a file whose name is made of the cell's text."""

    def run_cell(cell: str) -> None:
        text = textwrap.dedent(cell)
        exec(compile(text, f"/tmp/ipykernel/{hash(text)}.py", "exec"), vars(notebook))  # noqa: S102

    run_cell(TOP)
    return run_cell


async def heard(notebook: ModuleType) -> list[Any]:
    """Publish an event, and return what the notebook's handlers have noted."""
    async with notebook.bus as bus:
        await bus.publish(Event("a.b"))
        await bus.join()
    return list(notebook.heard)


CELL = """
    def desk(event): heard.append("{}")
    bus.subscribe("a.b", desk)
"""


async def test_a_cell_may_run_again(run: Run, notebook: ModuleType) -> None:
    """The same cell, and one whose text was changed: the last definition handles."""
    run(CELL.format("first"))
    run(CELL.format("first"))
    run(CELL.format("second"))
    assert await heard(notebook) == ["second"]


async def test_what_was_replaced_is_said(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """Two cells may have taken one name by mistake."""
    run(CELL.format("first"))
    with caplog.at_level(logging.WARNING, "qt_events"):
        run(CELL.format("second"))
    assert "'__main__.desk' is handled by the new definition" in caplog.text


async def test_a_sync_handler_may_become_async(run: Run, notebook: ModuleType) -> None:
    """What is known of the handler is found anew."""
    run(CELL.format("first"))
    run("""
        async def desk(event): heard.append("async")
        bus.subscribe("a.b", desk, retry=RetryPolicy(max_attempts=1), when=lambda event: True)
    """)
    assert await heard(notebook) == ["async"]
    assert notebook.bus.get_stats()["errors"] == 0


async def test_a_lambda_in_a_cell_that_runs_again_is_no_second_one(
    run: Run, notebook: ModuleType
) -> None:
    """It has no name, and would hear each event twice. Other lambdas are other handlers."""
    for _ in range(3):
        run('bus.subscribe("a.b", lambda event: heard.append(1))')
    run('bus.subscribe("a.b", lambda event: heard.append(2))')
    assert await heard(notebook) == [1, 2]


async def test_a_lambda_with_a_name_may_change(run: Run, notebook: ModuleType) -> None:
    """The name says that it is the same subscription."""
    for number in (1, 2):
        run(f'bus.subscribe("a.b", lambda event: heard.append({number}), name="desk")')
    assert await heard(notebook) == [2]


async def test_a_predicate_may_be_made_again(run: Run, notebook: ModuleType) -> None:
    """The handler is the same: it was imported, or defined in another cell."""
    run("def desk(event): heard.append(event.type)")
    for answer in (False, True):
        run(f'bus.subscribe("a.b", desk, when=lambda event: {answer})')
    assert await heard(notebook) == ["a.b"]


async def test_an_object_may_be_made_again(run: Run, notebook: ModuleType) -> None:
    """By the same cell, or with its class."""
    run("""
        class Desk:
            def on_alert(self, event): heard.append(id(self))
    """)
    for _ in range(2):
        run('desk = Desk()\nbus.subscribe("a.b", desk.on_alert)')
    assert await heard(notebook) == [id(notebook.desk)]


@pytest.mark.parametrize(
    "cells",
    [
        [CELL.format("first") + CELL.format("second")],
        ["def make():\n    def desk(event): ...\n    return desk",
         "for _ in range(2): bus.subscribe('a.b', make(), name='desk')"],
        ["class Desk:\n    def on(self, event): ...",
         "bus.subscribe('a.b', Desk().on)", "bus.subscribe('a.c', Desk().on)"],
        ["class Desk:\n    def on(self, event): ...",
         "for _ in range(2): bus.subscribe('a.b', Desk().on)"],
        [CELL.format("x"),
         "def other(event): ...\nbus.subscribe('a.b', other, name='__main__.desk')"],
    ],
)  # fmt: skip
def test_two_handlers_of_one_run_are_two(run: Run, cells: list[str]) -> None:
    """And so are two objects of two cells: one of them would be lost."""
    *before, last = cells
    for cell in before:
        run(cell)
    with pytest.raises(DuplicateSubscriptionError):
        run(last)


def test_two_definitions_in_a_program_are_two(tmp_path: Path) -> None:
    """A program has a file, and runs once."""
    program = tmp_path / "program.py"
    program.write_text(TOP + textwrap.dedent(CELL.format(1) + CELL.format(2)))
    finished = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=100, check=False
    )
    assert "DuplicateSubscriptionError" in finished.stderr


def test_lines_at_a_prompt_may_be_entered_again() -> None:
    """Python's own prompt is a session too."""
    lines = textwrap.dedent(CELL.format("x")).replace("\nbus", "\n\nbus")
    finished = subprocess.run(
        [sys.executable, "-i", "-q"],
        input=f"{TOP}\n{lines}\n{lines}\nprint('total', bus.get_stats()['total_handlers'])\n",
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert "total 1" in finished.stdout
    assert "Error" not in finished.stderr


async def test_a_reloaded_module_brings_its_handlers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with event classes, the last definition counts."""
    monkeypatch.syspath_prepend(str(tmp_path))
    bus = InMemoryEventBus()
    text = """
    import sys
    heard = []
    def desk(event): heard.append({0})
    def subscribe(bus):
        bus.subscribe("a.b", desk)
        bus.subscribe("a.b", lambda event: heard.append({0}), name="other")
    """
    file = tmp_path / "reloaded_desk.py"
    file.write_text(textwrap.dedent(text.format(1)))
    module = importlib.import_module("reloaded_desk")
    module.subscribe(bus)
    file.write_text(textwrap.dedent(text.format("'two'")))
    module = importlib.reload(module)
    module.subscribe(bus)
    async with bus:
        await bus.publish(Event("a.b"))
        await bus.join()
    assert module.heard == ["two", "two"]
    del sys.modules["reloaded_desk"]


def test_at_a_plain_prompt_another_object_is_another_handler(notebook: ModuleType) -> None:
    """All that is typed there has one file's name, so nothing says that a line is a former one."""

    def enter(line: str) -> None:
        exec(compile(textwrap.dedent(line), "<stdin>", "single"), vars(notebook))  # noqa: S102

    for line in TOP.splitlines():
        enter(line)
    enter("""
        class Desk:
            def on_alert(self, event): heard.append(id(self))
    """)
    enter('one = Desk(); bus.subscribe("a.b", one.on_alert)')
    with pytest.raises(DuplicateSubscriptionError, match="name="):
        enter('other = Desk(); bus.subscribe("a.b", other.on_alert)')
