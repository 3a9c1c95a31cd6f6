"""`qt-events`: commands found by entry points, errors in one line, and exit codes."""

import re
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from io import StringIO
from typing import Annotated, Any

import pytest
import typer

from qt_events import (
    BrokerUnreachableError,
    InvalidOptionError,
    InvalidUrlError,
    NotSupportedError,
    QtEventsError,
    UsageError,
    __version__,
    cli,
)
from qt_events.cli import application

GROUP = "qt_events.commands"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Module whose attributes are commands, each found under its own name."""
    module = types.ModuleType("commands_of_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def entry_points(group: str) -> list[EntryPoint]:
        names = [name for name in vars(module) if not name.startswith("_")]
        return [
            EntryPoint(name, f"{module.__name__}:{name}", group) for name in names if group == GROUP
        ]

    monkeypatch.setattr(application, "entry_points", entry_points)
    monkeypatch.setenv("COLUMNS", "300")
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
    """The others work; the help and the command itself say why it is not available."""
    broken = EntryPoint("broken", "no_such_module_anywhere:run", GROUP)
    commands.works = lambda: None  # type: ignore[attr-defined]
    works = EntryPoint("works", f"{commands.__name__}:works", GROUP)
    monkeypatch.setattr(application, "entry_points", lambda group: [broken, works])
    assert exit_code("works") == 0
    assert capsys.readouterr() == ("", "")
    assert exit_code("--help") == 0
    assert "Not available: the command 'broken'" in capsys.readouterr().out
    assert exit_code("broken", "--any", "option") == 1
    assert capsys.readouterr().err == (
        "qt-events: the command 'broken' (no_such_module_anywhere:run) cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'\n"
    )


def test_a_command_is_imported_only_when_it_is_asked_for(
    commands: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shell completion starts the program at every press of the key."""
    commands.works = lambda: None  # type: ignore[attr-defined]
    loaded: list[str] = []

    def load(entry_point: EntryPoint) -> Any:
        loaded.append(entry_point.name)
        return getattr(commands, entry_point.name)

    monkeypatch.setattr(EntryPoint, "load", load)
    commands.other = lambda: None  # type: ignore[attr-defined]
    assert exit_code("works") == 0
    assert exit_code("--version") == 0
    assert loaded == ["works"]


def test_flags_are_shown_as_flags(
    commands: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """No type and no second name: they take no value."""

    def fly(
        high: Annotated[bool, typer.Option("--high")] = False,
        far: Annotated[str, typer.Option("--far")] = "",
    ) -> None: ...

    commands.fly = fly  # type: ignore[attr-defined]
    commands.letters = typer.Typer()  # type: ignore[attr-defined]
    commands.letters.command("fly")(fly)
    commands.letters.callback()(lambda: None)
    for words in ((), ("fly",), ("letters",), ("letters", "fly")):
        assert exit_code(*words, "--help") == 0
    shown = capsys.readouterr().out
    assert "bool" not in shown
    assert "--no-high" not in shown
    assert "<str>" in shown
    for flag in ("--version", "--install-completion", "--show-completion", "--help", "--high"):
        assert re.search(rf"{flag} +(│|[A-Z])", shown), flag


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ["greet", "letters"]),
        ("gr", ["greet"]),
        ("greet --", ["--name", "--help"]),
        ("letters ", ["list"]),
    ],
)
def test_a_shell_completes_commands_and_options(
    commands: types.ModuleType,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    expected: list[str],
) -> None:
    """As the script asks that `--show-completion` prints."""

    def greet(name: str = "you") -> None: ...

    commands.greet = greet  # type: ignore[attr-defined]
    commands.letters = typer.Typer()  # type: ignore[attr-defined]
    commands.letters.callback()(lambda: None)
    commands.letters.command("list")(lambda: None)
    typed = f"qt-events {words}"
    monkeypatch.setenv("_QT_EVENTS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    assert exit_code() == 0
    assert capsys.readouterr().out.split() == expected


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (QtEventsError, 1),
        (UsageError, 1),
        (BrokerUnreachableError, 1),
        (InvalidOptionError, 2),
        (InvalidUrlError, 2),
        (NotSupportedError, 2),
    ],
)
def test_an_error_of_ours_is_one_line(
    commands: types.ModuleType,
    capsys: pytest.CaptureFixture[str],
    error: type[QtEventsError],
    code: int,
) -> None:
    """No traceback; exit code 2 for a wrong option, whoever finds it out, else 1."""

    def fail() -> None:
        raise error("this went wrong:\n  do that")

    commands.fail = fail  # type: ignore[attr-defined]
    assert exit_code("fail") == code
    assert capsys.readouterr() == ("", "qt-events: this went wrong: do that\n")


def test_notes_of_an_error_are_lines_below_it(
    commands: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where an app's module is broken, for example."""

    def fail() -> None:
        error = UsageError("the app cannot be imported")
        error.add_note("desk.py, line 3")
        raise error

    commands.fail = fail  # type: ignore[attr-defined]
    assert exit_code("fail") == 1
    assert capsys.readouterr().err == ("qt-events: the app cannot be imported\n  desk.py, line 3\n")


def test_a_question_answered_with_no_ends_with_1(
    commands: types.ModuleType,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing was done, and a script sees it."""
    monkeypatch.setattr("sys.stdin", StringIO("n\n"))
    commands.ask = lambda: typer.confirm("Sure?", abort=True)  # type: ignore[attr-defined]
    assert exit_code("ask") == 1
    assert capsys.readouterr().err == "qt-events: aborted\n"


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_chooses_its_exit_code(commands: types.ModuleType, code: int) -> None:
    """By typer.Exit, and not by the value that it returns."""

    def leave() -> int:
        if code:
            raise typer.Exit(code)
        return 7

    commands.leave = leave  # type: ignore[attr-defined]
    assert exit_code("leave") == code


def test_ctrl_c_ends_with_130(
    commands: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a shell expects, without a traceback."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    commands.interrupted = interrupted  # type: ignore[attr-defined]
    assert exit_code("interrupted") == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["nonsense"], "no such command 'nonsense'; see `qt-events --help`"),
        (["grete"], "no such command 'grete'. Did you mean 'greet'?; see `qt-events --help`"),
        (["--nonsense"], "no such option: --nonsense; see `qt-events --help`"),
        (["greet", "--nonsense"], "no such option: --nonsense; see `qt-events greet --help`"),
        (["greet", "--times", "x"], "invalid value for '--times': "),
    ],
)
def test_wrong_usage_is_one_line_and_ends_with_2(
    commands: types.ModuleType, capsys: pytest.CaptureFixture[str], args: list[str], told: str
) -> None:
    """An unknown command or option, or a wrong value, with the help to look at."""

    def greet(times: int = 1) -> None: ...

    commands.greet = greet  # type: ignore[attr-defined]
    commands.other = greet  # type: ignore[attr-defined]
    assert exit_code(*args) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"qt-events: {told}" in err


def test_without_a_command_the_help_is_shown(
    commands: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage all the same."""
    commands.works = lambda: None  # type: ignore[attr-defined]
    assert exit_code() == 2
    out, err = capsys.readouterr()
    assert "Usage: qt-events" in out
    assert err == ""


def test_shows_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The package's."""
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"qt-events {__version__}\n"


def test_python_runs_the_package_as_the_program() -> None:
    """`python -m qt_events`, where the script is not on the path."""
    command = [sys.executable, "-m", "qt_events", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"qt-events {__version__}\n")
