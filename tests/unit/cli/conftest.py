"""What tests of the command line share: commands in this process, and a clean environment."""

from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from qt_events.cli import GROUP, application, main

COMMANDS = {
    "dead-letters": "qt_events.cli.dead_letters:dead_letters",
    "flower": "qt_events.cli.flower:flower",
    "topology": "qt_events.cli.topology:topology",
    "worker": "qt_events.cli.worker:worker",
}
VARIABLES = (
    "QT_APP", "QT_BROKER_URL", "QT_PREFIX", "QT_MANAGEMENT_URL", "QT_LOG_FORMAT", "FLOWER_PORT",
    "FLOWER_ADDRESS", "FLOWER_BASIC_AUTH", "FLOWER_BROKER_API",
)  # fmt: skip

Command = Callable[..., int]


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
