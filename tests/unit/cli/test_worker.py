"""`qt-events worker`: the arguments that Celery gets."""

import os
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import get_args

import pytest

from qt_events import InvalidOptionError, cli
from qt_events.cli.worker import PoolName
from qt_events.rabbitmq.app import command_line
from qt_events.rabbitmq.pools.names import POOLS


@pytest.fixture
def celerys(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What each run was given; none starts a worker."""
    monkeypatch.setattr(
        cli,
        "entry_points",
        lambda group: [EntryPoint("worker", "qt_events.cli.worker:worker", group)],
    )
    for name in ("QT_APP", "QT_LOG_FORMAT"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    given: list[list[str]] = []
    monkeypatch.setattr(
        command_line, "run_worker", lambda app, arguments: given.append([app, *arguments])
    )
    return given


def exit_code(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["worker", *args])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], ["workers"]),
        (["-A", "desk:app"], ["desk:app"]),
        (["--pool", "prefork", "--concurrency", "3"], ["workers", "-P", "processes", "-c", "3"]),
        (["-P", "asyncio"], ["workers", "-P", "asyncio"]),
        (
            ["--subscriptions", "a.*,b", "--subscriptions", "c"],
            ["workers", *["--subscriptions", "a.*,b", "--subscriptions", "c"]],
        ),
        (
            ["--autoscale", "8,2", "-n", "w@%h", "-l", "INFO", "-E"],
            ["workers", *["--autoscale", "8,2", "-n", "w@%h", "-l", "INFO", "-E"]],
        ),
        (
            ["-E", "--", "--time-limit", "5", "-X", "celery"],
            ["workers", *["-E", "--time-limit", "5", "-X", "celery"]],
        ),
    ],
)
def test_options_become_celerys(
    celerys: list[list[str]], args: Sequence[str], expected: list[str]
) -> None:
    """Each by Celery's own name; prefork by the one that really gives it."""
    assert exit_code(*args) == 0
    assert celerys == [expected]


def test_the_pools_are_those_that_a_bus_is_tested_on() -> None:
    """No more, and none is forgotten."""
    assert get_args(PoolName) == POOLS


def test_the_app_may_come_by_environment(
    celerys: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """QT_APP."""
    monkeypatch.setenv("QT_APP", "desk")
    assert exit_code() == 0
    assert celerys == [["desk"]]


def test_the_log_format_goes_by_environment(celerys: list[list[str]]) -> None:
    """Child processes read it too."""
    assert exit_code("--log-format", "json") == 0
    assert os.environ["QT_LOG_FORMAT"] == "json"


@pytest.mark.parametrize(
    "args",
    [["--pool", "processes"], ["--concurrency", "0"], ["--log-format", "xml"], ["--nonsense"]],
)
def test_wrong_options_are_wrong_usage(celerys: list[list[str]], args: list[str]) -> None:
    """Exit code 2, and nothing is started."""
    assert exit_code(*args) == 2
    assert celerys == []


def test_an_app_that_is_not_there_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, celerys: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Named, with exit code 2."""

    def refuse(app: str, arguments: list[str]) -> None:
        raise InvalidOptionError(f"there is no module {app!r}")

    monkeypatch.setattr(command_line, "run_worker", refuse)
    assert exit_code("-A", "nowhere") == 2
    assert "there is no module 'nowhere'" in capsys.readouterr().err
