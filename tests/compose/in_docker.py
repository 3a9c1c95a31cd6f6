"""docker-compose.yml on a real engine, with a worker, the broker and PostgreSQL killed on the way.

The tests run in their order on one project, because it takes minutes to make one.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compose.base_images import base_images
from tests.compose.engine import DockerError, check_engine, docker
from tests.compose.project import IMAGE, NAME, Container, Project, until

ROOT = Path(__file__).parents[2]
#: Trading days of the feed; the whole market has about a thousand.
DAYS = int(os.environ.get("QT_COMPOSE_DAYS", "120"))
WORKERS = 3
#: Seconds for all days, on a machine that is busy.
FEED = 300 + 10 * DAYS
UP = ("up", "--detach", f"--scale=worker={WORKERS}")
PROGRAMS = ("worker", "feed", "flower")

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.timeout(FEED + 900)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return the project, up with the feed, Flower and three workers, one of them held back."""
    try:
        logger.info("%s", check_engine())
    except DockerError as error:
        pytest.exit(str(error), returncode=1)
    with base_images(ROOT / "build" / "compose-test") as lines:
        for line in lines:
            logger.info("%s", line)
        opened = Project(tmp_path_factory.mktemp("compose"), DAYS)
        opened.down()
        try:
            started = time.monotonic()
            opened.first_words = opened.run("build")
            opened.run(*UP, "worker")
            # Before it can have connected.
            docker("kill", "--signal=STOP", opened.containers("worker")[0]["Id"])
            opened.run(*UP)
            logger.info("up after %.0f s", time.monotonic() - started)
            yield opened
        finally:
            opened.down()


def kill(container: Container) -> None:
    """Kill a container's first process from the host, as the kernel does when memory is short.

    The engine starts no container again that was ended by `docker kill`.
    """
    pid, before = container["State"]["Pid"], container["RestartCount"]
    logger.info("killing %s", container["Name"])
    command = ["--pid=host", "--user=0", "--entrypoint=sh", IMAGE, "-c", f"kill -9 {pid}"]
    docker("run", "--rm", *command)

    def came_back() -> bool:
        (now,) = json.loads(docker("inspect", container["Id"]))
        return bool(now["RestartCount"] > before and now["State"]["Health"]["Status"] == "healthy")

    until(came_back, f"{container['Name']} is back and healthy")


def until_day(number: int, project: Project) -> None:
    """Wait until the feed has done `number` days; it must not have ended before."""

    def reached() -> bool:
        feed = project.one("feed")
        assert feed["State"]["Status"] == "running", docker("logs", "--tail=20", feed["Id"])
        return project.days_done() >= number

    until(reached, f"day {number}", timeout=FEED)
    logger.info("day %d of %d", number, DAYS)


def result_of(project: Project) -> dict[str, Any]:
    """Return what the feed has printed last, when it has ended."""
    until(lambda: project.one("feed")["State"]["Status"] == "exited", "the feed ends", FEED)
    feed = project.one("feed")
    log = subprocess.run(["docker", "logs", feed["Id"]], capture_output=True, text=True, check=True)
    assert feed["State"]["ExitCode"] == 0, log.stderr[-3000:]
    # Each start of the container has printed one, or none if it was killed.
    last = f"\n{log.stdout}".rpartition("\n{")[2]
    result: dict[str, Any] = json.loads("{" + last)
    return result


@pytest.fixture(scope="module")
def in_memory() -> dict[str, Any]:
    """Return what `make run` says of the same days."""
    command = [sys.executable, "-m", "workers", "run", "--json", f"--days={DAYS}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_image_is_built_once(project: Project) -> None:
    """Three services use it; builds of its own for each would race for its name."""
    assert project.first_words.count(f"naming to docker.io/library/{IMAGE}") == 1
    assert len({each["Image"] for name in PROGRAMS for each in project.containers(name)}) == 1


def test_the_feed_begins_when_all_is_declared_and_one_worker_is_held_back(
    project: Project,
) -> None:
    """The other two have declared every subscription."""
    until_day(1, project)
    assert project.health("worker").count("healthy") == WORKERS - 1
    docker("kill", "--signal=CONT", project.containers("worker")[0]["Id"])
    until(lambda: project.health("worker") == ["healthy"] * WORKERS, "all are healthy")


def test_an_unchanged_up_with_build_recreates_nothing(project: Project) -> None:
    before = project.ids()
    project.run(*UP, "--build")
    assert project.ids() == before


def test_nothing_can_be_installed_or_written(project: Project) -> None:
    """No pip, no root, no file but in /tmp."""
    script = "! python -m pip && ! touch /app/x && ! touch /home/qt/x && touch /tmp/x && id -u"
    said = project.run("exec", "-T", "worker", "sh", "-c", script)
    assert said.splitlines()[-1] == "10001"
    assert "No module named pip" in said


def test_a_worker_for_a_part_joins_the_fleet(project: Project) -> None:
    """`run` adds a container. `up worker` with another environment would replace the others."""
    before = project.ids()
    part = ("run", "--detach", "--no-deps", "--env=QT_SUBSCRIPTIONS=executor,risk_guard", "worker")
    one_off = project.run(*part).split()[-1]
    try:

        def healthy() -> bool:
            (found,) = json.loads(docker("inspect", one_off))
            return bool(found["State"]["Health"]["Status"] == "healthy")

        until(healthy, "the worker for a part is healthy")
        assert project.ids() == before
        docker("stop", one_off)
        (ended,) = json.loads(docker("inspect", one_off))
        assert ended["State"]["ExitCode"] == 0, docker("logs", "--tail=30", one_off)
    finally:
        docker("rm", "--force", one_off)


def test_the_feed_ends_as_in_memory_whatever_is_killed(
    project: Project, in_memory: dict[str, Any]
) -> None:
    """A worker, the broker, PostgreSQL and the feed itself are, each in the middle of a day."""
    started = time.monotonic()
    until_day(DAYS // 6, project)
    kill(project.containers("worker")[0])
    until_day(DAYS // 3, project)
    kill(project.one("rabbitmq"))
    until_day(DAYS // 2, project)
    kill(project.one("postgres"))
    until_day(DAYS * 2 // 3, project)
    logger.info("killing the feed")
    docker("kill", project.one("feed")["Id"])
    done = until(project.days_done, "PostgreSQL answers")
    project.run(*UP)
    assert project.days_done() >= done
    result = result_of(project)
    logger.info("%d days after %.0f s", DAYS, time.monotonic() - started)
    logger.info("trades %d, final equity %.2f", result["trades"], result["final_equity"])
    assert result == {name: in_memory[name] for name in result}
    assert result["trades"] > 0
    assert project.health("worker") == ["healthy"] * WORKERS


def test_a_finished_feed_says_its_result_again(project: Project, in_memory: dict[str, Any]) -> None:
    """Another `up` starts its container once more, and feeds nothing."""
    project.run(*UP)
    result = result_of(project)
    assert result == {name: in_memory[name] for name in result}
    assert project.days_done() == DAYS


def test_a_worker_that_does_not_run_is_unhealthy(project: Project) -> None:
    """Stopped by the kernel, its loop dead, it stays a running container."""
    worker = project.containers("worker")[0]
    docker("kill", "--signal=STOP", worker["Id"])
    until(lambda: project.health("worker").count("unhealthy") == 1, "one is unhealthy")
    docker("kill", "--signal=CONT", worker["Id"])
    until(lambda: project.health("worker") == ["healthy"] * WORKERS, "all are healthy")


def test_flower_ends_while_the_broker_is_away(project: Project) -> None:
    flower = project.one("flower")
    project.run("stop", "rabbitmq")
    assert project.one("rabbitmq")["State"]["ExitCode"] == 0
    until(lambda: "Failed to" in docker_log(flower), "Flower notices")
    project.run("stop", "flower")
    assert project.one("flower")["State"]["ExitCode"] == 0, docker_log(flower)


def test_down_ends_all_with_0_and_leaves_nothing(project: Project) -> None:
    project.run(*UP)
    # What has hardly begun does not hear SIGTERM yet.
    until(lambda: project.one("feed")["State"]["Status"] == "exited", "the feed ends")
    until(lambda: project.health("flower") == ["healthy"], "Flower is back")
    until(lambda: project.health("worker") == ["healthy"] * WORKERS, "all are healthy")
    project.run("stop")
    codes = {each["Name"]: each["State"]["ExitCode"] for each in project.containers()}
    assert codes
    assert set(codes.values()) == {0}, codes
    project.run("down", "--volumes")
    mine = f"--filter=label=com.docker.compose.project={NAME}"
    for kind in ("volume", "network", "container"):
        assert docker(kind, "ls", "--quiet", mine) == ""


def docker_log(container: Container) -> str:
    """Return both streams of a container's log."""
    done = subprocess.run(
        ["docker", "logs", container["Id"]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout
