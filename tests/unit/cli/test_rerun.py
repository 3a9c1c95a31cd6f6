"""`qt-events rerun`: what it says, and how it ends."""

import asyncio
import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from qt_events import Event, InMemoryEventBus
from qt_events.history import History
from tests.unit.cli.commands import Command

#: Answers each quote of at most so much.
APP = """
from qt_events import Event

def subscribe(bus):
    async def on_quote(event):
        if event.payload["size"] <= {limit}:
            await bus.publish(Event("order", None, dict(event.payload), source="desk"))
    bus.subscribe("quote", on_quote, name="desk")
"""
#: Python keeps a module that it has imported, so each has a name of its own.
NUMBERS = count()


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> Any:
    """Record three quotes and their orders; return how to write the app with another limit."""
    monkeypatch.chdir(tmp_path)

    def write(limit: int) -> str:
        name = f"rerun_desk_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(APP.format(limit=limit))
        return name

    async def record() -> None:
        history = History("sqlite:///day.db")
        names: dict[str, Any] = {}
        exec(APP.format(limit=3), names)  # noqa: S102
        async with InMemoryEventBus() as bus:
            history.attach(bus)
            names["subscribe"](bus)
            for size in (1, 2, 3):
                await bus.publish(Event("quote", None, {"size": size}, id=f"quote-{size}"))
            await bus.join()
        await history.close()

    asyncio.run(record())
    monkeypatch.setenv("QT_HISTORY", "sqlite:///day.db")
    return write


def test_the_same_ends_with_0(app: Any, command: Command, capfd: Any) -> None:
    assert command("rerun", "-A", app(3)) == 0
    assert capfd.readouterr().out == (
        "3 root events were fed; history 6 events, rerun 6: the same\n"
    )


def test_another_rule_ends_with_1_and_is_shown(app: Any, command: Command, capfd: Any) -> None:
    assert command("rerun", "-A", app(1), "--limit", "1") == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("missing order  ")
    assert lines[0].endswith("  from desk")
    assert lines[1:] == [
        "  after    quote",
        '  history  {"size": 2}',
        "  rerun    -",
        "3 root events were fed; history 6 events, rerun 4: 2 differ",
    ]
    assert command("rerun", "-A", app(1), "--type", "trade.#") == 0


def test_json(app: Any, command: Command, capfd: Any) -> None:
    assert command("rerun", "-A", app(2), "--json") == 1
    told = json.loads(capfd.readouterr().out)
    [first] = told.pop("first")
    assert told == {
        "fed": 3, "history": 6, "rerun": 5, "differ": 1, "dead_letters": 0, "unfinished": 0,
    }  # fmt: skip
    assert (first["kind"], first["type"], first["causes"]) == ("missing", "order", ["quote"])
    assert (first["history"]["payload"], first["rerun"]) == ({"size": 3}, None)


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        ((), 2, "give --app MODULE"),
        (("-A", "no_such_module_at_all"), 1, "cannot be imported: No module named"),
        (("-A", "json"), 1, "has no function subscribe(bus)"),
        (("-A", "json", "--since", "yesterday"), 2, "--since"),
        (("-A", "json", "--store", ""), 2, "give --store URL"),
    ],
)
def test_wrong_usage_is_named(
    command: Command, capfd: Any, args: tuple[str, ...], code: int, text: str
) -> None:
    assert command("rerun", *args) == code
    assert text in capfd.readouterr().err
