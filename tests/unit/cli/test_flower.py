"""`qt-events flower`: what it refuses, and what it hands on."""

import os
from collections.abc import Sequence
from typing import Any

import pytest

from qt_events.errors import InvalidOptionError
from qt_events.rabbitmq.operating import flower as running
from tests.unit.cli.commands import Command

DESK = ("desk", None, None)
LOCAL = ("--port=5555", "--address=127.0.0.1")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Calls that would have started Flower: the place, its arguments, the management API."""
    calls: list[tuple[Any, ...]] = []

    def run_flower(
        app: str | None,
        url: str | None,
        prefix: str | None,
        arguments: Sequence[str],
        *,
        management_url: str | None,
    ) -> None:
        assert [name for name in os.environ if name.startswith("FLOWER_")] == []
        calls.append(((app, url, prefix), tuple(arguments), management_url))

    monkeypatch.setattr(running, "run_flower", run_flower)
    return calls


def test_it_listens_on_this_machine_alone_unless_told_otherwise(
    command: Command, started: list[tuple[Any, ...]]
) -> None:
    """Flower's own default is every address, without a password."""
    assert command("flower", "-A", "desk") == 0
    assert started == [(DESK, LOCAL, None)]


@pytest.mark.parametrize(
    ("args", "place", "management_url"),
    [
        (["--app", "desk"], DESK, None),
        (["--url", "amqp://h"], (None, "amqp://h", None), None),
        (["--url", "amqp://h", "--prefix", "p"], (None, "amqp://h", "p"), None),
        (["-A", "desk", "--url", "amqp://h"], ("desk", "amqp://h", None), None),
        (["-A", "desk", "--management-url", "http://m"], DESK, "http://m"),
        (["QT_APP=desk"], DESK, None),
        (["QT_BROKER_URL=amqp://h", "QT_PREFIX=p"], (None, "amqp://h", "p"), None),
        (["QT_APP=desk", "QT_MANAGEMENT_URL=http://m"], DESK, "http://m"),
        (["QT_APP=desk", "FLOWER_BROKER_API=http://f"], DESK, "http://f"),
        (["QT_APP=desk", "QT_MANAGEMENT_URL=http://m", "FLOWER_BROKER_API=http://f"], DESK, "http://m"),
    ],
)  # fmt: skip
def test_the_place_is_named_as_for_every_command(  # noqa: PLR0917
    command: Command,
    started: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    place: tuple[Any, ...],
    management_url: str | None,
) -> None:
    """By option or by variable; Flower's own variable for the management API works, too."""
    for each in args:
        if "=" in each:
            monkeypatch.setenv(*each.split("=", 1))
    assert command("flower", *(each for each in args if "=" not in each)) == 0
    assert started == [(place, LOCAL, management_url)]


def test_flowers_own_variables_are_obeyed(
    command: Command, started: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address and a port for a container."""
    monkeypatch.setenv("FLOWER_PORT", "80")
    monkeypatch.setenv("FLOWER_ADDRESS", "::1")
    assert command("flower", "-A", "desk") == 0
    assert started == [(DESK, ("--port=80", "--address=::1"), None)]


def test_its_old_option_for_the_management_api_is_deprecated(
    command: Command, started: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """It works, is not in the help, and tells its new name."""
    assert command("flower", "-A", "desk", "--broker-api", "http://x/api/") == 0
    assert started == [(DESK, LOCAL, "http://x/api/")]
    assert capsys.readouterr().err == (
        "qt-events: --broker-api is deprecated: write --management-url\n"
    )
    assert command("flower", "--help") == 0
    assert "--broker-api" not in capsys.readouterr().out


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "", "desk.example"])  # noqa: S104
def test_it_is_never_open_to_strangers(
    command: Command,
    started: list[tuple[Any, ...]],
    capsys: pytest.CaptureFixture[str],
    address: str,
) -> None:
    """Wrong usage, with the two ways out."""
    assert command("flower", "-A", "desk", "--address", address) == 2
    (refusal,) = capsys.readouterr().err.splitlines()
    assert "--basic-auth" in refusal
    assert "127.0.0.1" in refusal
    assert started == []


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machines_own_addresses_need_no_password(
    command: Command, started: list[tuple[Any, ...]], address: str
) -> None:
    """Only who is here already gets there."""
    assert command("flower", "-A", "desk", "--address", address) == 0
    assert started == [(DESK, ("--port=5555", f"--address={address}"), None)]


def test_a_password_opens_it_and_stays_out_of_the_environment(
    command: Command, started: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come by the variable that Flower itself reads, so it stays out of the process list."""
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "me:mine")
    options = ["-A", "desk", "--address", "0.0.0.0", "--port", "80"]  # noqa: S104
    assert command("flower", *options, "--", "--persistent=True") == 0
    expected = ("--port=80", "--address=0.0.0.0", "--basic_auth=me:mine", "--persistent=True")
    assert started == [(DESK, expected, None)]


def test_an_error_of_usage_is_told_with_status_2(
    command: Command,
    started: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the words of the error."""

    def refuse(*_: object, **__: object) -> None:
        raise InvalidOptionError("there is no such app")

    monkeypatch.setattr(running, "run_flower", refuse)
    assert command("flower") == 2
    assert capsys.readouterr().err == "qt-events: there is no such app\n"
