"""`make compose-test` says what it needs before anything is built."""

from pathlib import Path

import pytest

from tests.compose.engine import DockerError, check_engine


def docker_on_path(folder: Path, engine: str, compose: str) -> None:
    """Make a program that answers like `docker version` and `docker compose version`."""
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\ncase "$1" in version) {engine} ;; compose) {compose} ;; esac\n')
    program.chmod(0o755)


def test_an_engine_and_a_compose_that_are_new_enough_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker_on_path(tmp_path, "echo 26.1.5+dfsg1", "echo v2.23.1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_engine() == "Docker Engine 26.1.5+dfsg1, Docker Compose v2.23.1"


@pytest.mark.parametrize(
    ("engine", "compose", "said"),
    [
        ("echo 20.10.24", "echo 2.23.1", "found: Docker Engine 20.10.24"),
        ("echo 25.0.0", "echo 2.23.0", "Docker Compose 2.23.0"),
        ("echo 25.0.0", "echo no such command >&2; exit 1", "no such command"),
        ("echo Cannot connect >&2; exit 1", "echo 2.26.1", "Cannot connect"),
        ("", "", "there is no program `docker`"),
    ],
)
def test_what_is_missing_or_too_old_is_said_with_what_is_needed(
    engine: str, compose: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine:
        docker_on_path(tmp_path, engine, compose)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DockerError) as raised:
        check_engine()
    assert said in str(raised.value)
    assert "Docker Engine 25 or later and Docker Compose 2.23.1 or later" in str(raised.value)
