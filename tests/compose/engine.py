"""Docker engine and Docker Compose on PATH, by DOCKER_HOST or Docker's own default."""

import re
import subprocess

from qt_events.errors import QtEventsError

#: `start_interval` of a health check.
ENGINE = (25, 0)
#: `content` of a config.
COMPOSE = (2, 23, 1)
_ADVICE = (
    "make compose-test needs a Docker Engine 25 or later and Docker Compose 2.23.1 or later: "
    "install docker-ce and docker-compose-plugin (Debian 13: docker.io and docker-compose), start "
    "the engine, or name one by DOCKER_HOST"
)


class DockerError(QtEventsError):
    """Docker is not there, too old, or did not do its part."""


def docker(*arguments: str, given: bytes | None = None) -> str:
    """Return what `docker arguments` prints.

    Raises:
        DockerError: it failed; the text has the end of what it said.
    """
    done = subprocess.run(["docker", *arguments], input=given, capture_output=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace")[-3000:]
        message = f"docker {' '.join(arguments)}: exit code {done.returncode}\n{said}"
        raise DockerError(message)
    return done.stdout.decode(errors="replace").strip()


def check_engine() -> str:
    """Return the versions in words.

    Raises:
        DockerError: one is missing or too old.
    """
    try:
        engine = docker("version", "--format", "{{.Server.Version}}")
        compose = docker("compose", "version", "--short")
    except FileNotFoundError:
        message = f"{_ADVICE} (there is no program `docker`)"
        raise DockerError(message) from None
    except DockerError as error:
        message = f"{_ADVICE} ({error})"
        raise DockerError(message) from None
    found = f"Docker Engine {engine}, Docker Compose {compose}"
    if numbers(engine) < ENGINE or numbers(compose) < COMPOSE:
        message = f"{_ADVICE} (found: {found})"
        raise DockerError(message)
    return found


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version: (26, 1, 5) of `26.1.5+dfsg1`."""
    matched = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(each) for each in matched[1].split(".")) if matched else ()
