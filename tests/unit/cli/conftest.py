"""What tests of the command line share: commands in this process, and a clean environment."""

from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest

from qt_events.cli import GROUP, application, main
from qt_events.rabbitmq.operating import target as targets
from tests.unit.cli.commands import COMMANDS, VARIABLES, Command
from tests.unit.cli.letters import APP, Letters, Run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command line in this process and return its exit code."""
    found = [EntryPoint(name, value, GROUP) for name, value in COMMANDS.items()]
    monkeypatch.setattr(application, "entry_points", lambda group: found)
    for name in VARIABLES:
        # Set first, so that what a command sets is taken back afterwards, too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*args: str) -> int:
        with pytest.raises(SystemExit) as end:
            main(args)
        assert isinstance(end.value.code, int)
        return end.value.code

    return run


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    """Dead letters of whatever place is named; that is recorded first of all."""
    letters = Letters()

    def find_target(app: str | None, url: str | None, prefix: str | None) -> Any:
        letters.calls.append((app, url, prefix))

        def dead_letters(subscription: str | None, management_url: str | None) -> Letters:
            letters.calls.append(("of", subscription, management_url))
            return letters

        bus = SimpleNamespace(close=lambda: None)
        return SimpleNamespace(dead_letters=dead_letters, bus=bus)

    monkeypatch.setattr(targets, "find_target", find_target)
    return letters


@pytest.fixture
def run(command: Command) -> Run:
    """Run `qt-events dead-letters`; of an app, for one has to be named."""
    return lambda *args, place=APP: command("dead-letters", *args, *place)
