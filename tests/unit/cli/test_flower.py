"""`qt-events flower`: what it refuses, and what it hands on."""

import os
from collections.abc import Sequence
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from qt_events.cli.flower import flower
from qt_events.errors import InvalidOptionError
from qt_events.rabbitmq.operating import flower as running

app = typer.Typer()
app.command()(flower)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would have been started."""
    calls: list[tuple[Any, ...]] = []

    def run_flower(name: str, arguments: Sequence[str], broker_api: str | None) -> None:
        calls.append((name, *arguments, broker_api, os.environ.get("FLOWER_BASIC_AUTH")))

    monkeypatch.setattr(running, "run_flower", run_flower)
    for name in (
        "FLOWER_BASIC_AUTH",
        "FLOWER_BROKER_API",
        "FLOWER_PORT",
        "FLOWER_ADDRESS",
        "QT_APP",
    ):
        monkeypatch.delenv(name, raising=False)
    return calls


def test_it_listens_on_this_machine_alone_unless_told_otherwise(
    started: list[tuple[Any, ...]],
) -> None:
    """Flower's own default is every address, without a password."""
    assert CliRunner().invoke(app, []).exit_code == 0
    assert started == [("workers", "--port=5555", "--address=127.0.0.1", None, None)]


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "", "desk.example"])  # noqa: S104
def test_it_is_never_open_to_strangers(address: str, started: list[tuple[Any, ...]]) -> None:
    """Wrong usage, with the two ways out."""
    refused = CliRunner().invoke(app, ["--address", address], env={"COLUMNS": "300"})
    assert refused.exit_code == 2
    assert "--basic-auth" in refused.output
    assert "127.0.0.1" in refused.output
    assert started == []


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machines_own_addresses_need_no_password(
    address: str, started: list[tuple[Any, ...]]
) -> None:
    """Only who is here already gets there."""
    assert CliRunner().invoke(app, ["--address", address]).exit_code == 0
    assert f"--address={address}" in started[0]


def test_a_password_opens_it_and_stays_out_of_the_environment(
    started: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come by the variable that Flower itself reads, and need not be in the list of processes."""
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "me:mine")
    options = [
        "-A",
        "desk",
        "--address",
        "0.0.0.0",  # noqa: S104
        "--port",
        "80",
        "--broker-api",
        "http://x/api/",
    ]
    assert CliRunner().invoke(app, [*options, "--", "--persistent=True"]).exit_code == 0
    assert started == [
        (
            "desk",
            "--port=80",
            "--address=0.0.0.0",
            "--basic_auth=me:mine",
            "--persistent=True",
            "http://x/api/",
            None,
        )
    ]


def test_what_cannot_be_is_wrong_usage(
    started: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the words of the error, and status 2."""

    def refuse(*_: object) -> None:
        message = "there is no such app"
        raise InvalidOptionError(message)

    monkeypatch.setattr(running, "run_flower", refuse)
    refused = CliRunner().invoke(app, [])
    assert refused.exit_code == 2
    assert "there is no such app" in refused.output
