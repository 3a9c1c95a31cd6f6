"""Docker Compose on docker-compose.yml, as a project of the test's own."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from qt_events.testing.ports import free_ports
from tests.compose.engine import DockerError, docker

ROOT = Path(__file__).parents[2]
NAME = "qt-events-compose-test"
IMAGE = f"{NAME}:latest"

Container = dict[str, Any]


class Project:
    """All containers of one project, from the first `up` to `down`."""

    def __init__(self, folder: Path, days: int) -> None:
        self.ports = free_ports(3)
        #: said by the first `up`
        self.first_words = ""
        example = dict(
            line.split("=", 1)
            for line in (ROOT / ".env.example").read_text().splitlines()
            if line and line[0] != "#"
        )
        names = ("RABBITMQ_PORT", "RABBITMQ_MANAGEMENT_PORT", "FLOWER_PORT")
        own = {name: str(port) for name, port in zip(names, self.ports, strict=True)}
        self.environment = {**example, **own, "QT_IMAGE": IMAGE}
        self._env_file = folder / "test.env"
        self._env_file.write_text("".join(f"{k}={v}\n" for k, v in self.environment.items()))
        # The one thing that is different: how many days the feed has.
        self._override = folder / "override.yml"
        command = ["python", "-m", "workers", "feed", "--resume", "--json", f"--days={days}"]
        self._override.write_text(json.dumps({"services": {"feed": {"command": command}}}))

    def command(self, *arguments: str) -> list[str]:
        files = ["-f", str(ROOT / "docker-compose.yml"), "-f", str(self._override)]
        given = ["--project-name", NAME, "--env-file", str(self._env_file), *files]
        return ["docker", "compose", "--ansi=never", "--progress=plain", *given, *arguments]

    def run(self, *arguments: str, timeout: float = 900) -> str:
        """Return what `docker compose arguments` prints; stderr, where its progress goes, too."""
        environment = {k: v for k, v in os.environ.items() if k not in self.environment}
        done = subprocess.run(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            message = (
                f"docker compose {' '.join(arguments)}: {done.returncode}\n{done.stdout[-3000:]}"
            )
            raise DockerError(message)
        return done.stdout

    def containers(self, service: str = "") -> list[Container]:
        """Return all containers of a service or of the project, as `docker inspect` has them."""
        label = f"label=com.docker.compose.project={NAME}"
        # Not those of `docker compose run`.
        lasting = "--filter=label=com.docker.compose.oneoff=False"
        chosen = [f"--filter=label=com.docker.compose.service={service}"] if service else []
        ids = docker(
            "ps", "--all", "--quiet", "--no-trunc", f"--filter={label}", lasting, *chosen
        ).split()
        found: list[Container] = json.loads(docker("inspect", *ids)) if ids else []
        return sorted(found, key=lambda each: str(each["Name"]))

    def one(self, service: str) -> Container:
        (found,) = self.containers(service)
        return found

    def health(self, service: str) -> list[str]:
        return [each["State"]["Health"]["Status"] for each in self.containers(service)]

    def ids(self) -> dict[str, str]:
        return {str(each["Name"]): str(each["Id"]) for each in self.containers()}

    def days_done(self) -> int:
        """Return how many days of the feed are over; 0 while the database does not answer."""
        query = "select count(*) from documents where kind = 'feed.day'"
        psql = ["exec", "-T", "postgres", "psql", "-U", "qt", "-h", "127.0.0.1", "-tA", "-c", query]
        with suppress(DockerError, ValueError, subprocess.TimeoutExpired):
            password = f"PGPASSWORD={self.environment['POSTGRES_PASSWORD']}"
            return int(self.run(*psql[:2], "-e", password, *psql[2:], timeout=60))
        return 0

    def down(self) -> None:
        """Remove what is there, also after a test that failed."""
        with suppress(DockerError):
            self.run("down", "--volumes", "--remove-orphans", "--timeout=20")
        with suppress(DockerError):
            docker("rmi", IMAGE)


def until(condition: Callable[[], Any], what: str, timeout: float = 240) -> Any:
    """Ask twice a second until the condition holds, and return its value."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            message = f"not within {timeout:g} s: {what}"
            raise AssertionError(message)
        threading.Event().wait(0.5)
    return result
