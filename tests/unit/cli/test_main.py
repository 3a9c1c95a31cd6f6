"""`qt-events`: finding commands, and how it ends."""

import sys
import types
from importlib.metadata import EntryPoint

import pytest
import typer

from qt_events import QtEventsError, __version__, cli

GROUP = "qt_events.commands"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module whose attributes are commands; each is found under its own name, and under `missing` nothing is."""
    module = types.ModuleType("commands_of_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def entry_points(group: str) -> list[EntryPoint]:
        names = [name for name in vars(module) if not name.startswith("_")]
        return [
            EntryPoint(name, f"{module.__name__}:{name}", group) for name in names if group == GROUP
        ]

    monkeypatch.setattr(cli, "entry_points", entry_points)
    return module


def exit_code(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(args)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_command_is_found_by_its_entry_point(
    commands: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """A function of any package becomes a command, its annotations its options."""

    def greet(name: str = "you") -> None:
        """Say hello."""
        print(f"hello {name}")  # noqa: T201

    commands.greet = greet  # type: ignore[attr-defined]
    assert exit_code("greet", "--name", "me") == 0
    assert capsys.readouterr().out == "hello me\n"
    assert exit_code("--help") == 0
    assert "Say hello." in capsys.readouterr().out


def test_a_group_of_commands_is_found_too(
    commands: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typer.Typer becomes a group."""
    commands.letters = typer.Typer()  # type: ignore[attr-defined]
    commands.letters.callback()(lambda: None)
    commands.letters.command("list")(lambda: print("none"))  # noqa: T201
    assert exit_code("letters", "list") == 0
    assert capsys.readouterr().out == "none\n"


def test_a_broken_command_takes_no_other_along(
    commands: types.ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named on stderr, the others work."""
    broken = EntryPoint("broken", "no_such_module_anywhere:run", GROUP)
    commands.works = lambda: None  # type: ignore[attr-defined]
    works = EntryPoint("works", f"{commands.__name__}:works", GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda group: [broken, works])
    assert exit_code("works") == 0
    assert (
        "the command 'broken' (no_such_module_anywhere:run) cannot be loaded"
        in capsys.readouterr().err
    )


def test_an_error_of_ours_is_one_line_and_exit_code_1(
    commands: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback for what the user can mend."""

    def fail() -> None:
        message = "this went wrong:\n  do that"
        raise QtEventsError(message)

    commands.fail = fail  # type: ignore[attr-defined]
    assert exit_code("fail") == 1
    assert capsys.readouterr() == ("", "qt-events: this went wrong: do that\n")


def test_ctrl_c_ends_with_130(
    commands: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a shell expects, without a traceback."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    commands.interrupted = interrupted  # type: ignore[attr-defined]
    assert exit_code("interrupted") == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("args", [["nonsense"], ["--nonsense"], []])
def test_wrong_usage_ends_with_2(commands: types.ModuleType, args: list[str]) -> None:
    """An unknown command or option, or none."""
    assert exit_code(*args) == 2


def test_shows_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The package's."""
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"qt-events {__version__}\n"
