"""`python -m workers`: its commands, exit codes and errors."""

import subprocess
import sys
from typing import Any

import pytest

from workers.__main__ import EXTRA, main

COMMANDS = ["run", "feed", "fleet", "analytics"]


def workers(*args: str) -> Any:
    """Return the exit status of a command."""
    with pytest.raises(SystemExit) as end:
        main(args)
    return end.value.code


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert workers("--help") == 0
    out, err = capsys.readouterr()
    assert "python -m workers" in out
    assert [name for name in COMMANDS if f" {name} " not in out] == []
    assert err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert workers(command, "--help") == 0
    out, err = capsys.readouterr()
    assert (f"python -m workers {command}" in out, err) == (True, "")


def test_the_module_is_the_command() -> None:
    """A process of its own starts by `python -m workers`, without a warning."""
    command = [sys.executable, "-W", "error", "-m", "workers", "run", "--help"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("args", [[], ["trade"], ["run", "--fast"], ["fleet", "--workers", "0"]])
def test_wrong_usage_exits_with_2(args: list[str]) -> None:
    assert workers(*args) == 2


# A process of its own: its modules are not those that other tests have imported.
LACKING = """
import builtins, sys
from workers.__main__ import main
real = builtins.__import__
def refuse(name, *args, **options):
    if name.partition(".")[0] == sys.argv[1]:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, *args, **options)
builtins.__import__ = refuse
main(["run", "--days", "1"])
"""


def run_without(package: str) -> subprocess.CompletedProcess[str]:
    """Run a command where a package cannot be imported, as if it were not installed."""
    command = [sys.executable, "-c", LACKING, package]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("package", [name for name in EXTRA if name != "alembic"])
def test_a_missing_extra_is_one_line_that_names_it(package: str) -> None:
    """alembic is imported only for a new database."""
    done = run_without(package)
    expected = f"workers: Quantum Trader needs {package}: pip install -e '.[trader]'\n"
    assert (done.returncode, done.stderr) == (2, expected)


def test_another_missing_module_is_shown_as_it_is() -> None:
    """A bug is not called a missing extra."""
    done = run_without("rich")
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'rich" in done.stderr.splitlines()[-1]
