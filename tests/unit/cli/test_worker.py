"""`qt-events worker`: the arguments that Celery gets."""

import os
from collections.abc import Sequence
from typing import get_args

import pytest

from qt_events.cli.worker import PoolName
from qt_events.errors import InvalidOptionError
from qt_events.rabbitmq.app import command_line
from qt_events.rabbitmq.pools.names import POOLS
from tests.unit.cli.commands import Command

APP = ("-A", "desk")


@pytest.fixture
def celerys(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Arguments of each run; none starts a worker."""
    given: list[list[str]] = []
    monkeypatch.setattr(
        command_line, "run_worker", lambda app, arguments: given.append([app, *arguments])
    )
    return given


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], []),
        (["--pool", "prefork", "--concurrency", "3"], ["-P", "processes", "-c", "3"]),
        (["-P", "asyncio"], ["-P", "asyncio"]),
        (
            ["--subscriptions", "a.*,b", "--subscriptions", "c"],
            ["--subscriptions", "a.*,b", "--subscriptions", "c"],
        ),
        (
            ["--autoscale", "8,2", "-n", "w@%h", "-l", "INFO", "-E"],
            ["--autoscale", "8,2", "-n", "w@%h", "-l", "INFO", "-E"],
        ),
        (
            ["-E", "--", "--time-limit", "5", "-X", "celery"],
            ["-E", "--time-limit", "5", "-X", "celery"],
        ),
    ],
)
def test_options_become_celerys(
    command: Command, celerys: list[list[str]], args: Sequence[str], expected: list[str]
) -> None:
    """Each by Celery's own name; prefork by the one that really gives it."""
    assert command("worker", *APP, *args) == 0
    assert celerys == [["desk", *expected]]


def test_the_pools_are_those_that_a_bus_is_tested_on() -> None:
    """No more, and none is forgotten."""
    assert get_args(PoolName) == POOLS


def test_an_app_is_needed(
    command: Command, celerys: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage without, in one line that says what to write."""
    for args in ((), ("--app", "")):
        assert command("worker", *args) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("qt-events: give --app MODULE (or QT_APP)")
    assert celerys == []


def test_the_app_may_come_by_environment(
    command: Command, celerys: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """QT_APP."""
    monkeypatch.setenv("QT_APP", "desk:app")
    assert command("worker") == 0
    assert celerys == [["desk:app"]]


def test_the_log_format_goes_by_environment(command: Command, celerys: list[list[str]]) -> None:
    """Child processes read it too."""
    assert command("worker", *APP, "--log-format", "json") == 0
    assert os.environ["QT_LOG_FORMAT"] == "json"


@pytest.mark.parametrize(
    "args",
    [["--pool", "processes"], ["--concurrency", "0"], ["--log-format", "xml"], ["--nonsense"]],
)
def test_wrong_options_are_wrong_usage(
    command: Command, celerys: list[list[str]], args: list[str]
) -> None:
    """Exit code 2, and nothing is started."""
    assert command("worker", *APP, *args) == 2
    assert celerys == []


def test_an_app_that_is_not_there_is_wrong_usage(
    command: Command,
    celerys: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Named, with exit code 2."""

    def refuse(app: str, arguments: list[str]) -> None:
        raise InvalidOptionError(f"there is no module {app!r}")

    monkeypatch.setattr(command_line, "run_worker", refuse)
    assert command("worker", "-A", "nowhere") == 2
    assert capsys.readouterr().err == "qt-events: there is no module 'nowhere'\n"
