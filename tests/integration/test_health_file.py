"""Health file of a worker: what a container's health check looks at."""

import subprocess
import time
from pathlib import Path

import yaml

from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import publish
from tests.support.waiting import until

PROGRAM = ("-m", "celery", "-A", "healthy_app", "worker")
ROOT = Path(__file__).parents[2]
#: Seconds from one heartbeat to the next.
BEAT = 2.0


def is_healthy(file: Path) -> bool:
    """Run the check of docker-compose.yml, on another file than a container has."""
    worker = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["worker"]
    kind, check = worker["healthcheck"]["test"]
    kept = worker["environment"]["QT_HEALTH_FILE"]
    assert kind == "CMD-SHELL"
    assert kept in check
    done = subprocess.run(["sh", "-c", check.replace(kept, str(file))], check=False)
    return done.returncode == 0


def age(file: Path) -> float:
    return time.time() - file.stat().st_mtime


async def test_a_worker_is_healthy_while_its_loop_turns(
    fleet: Fleet, client: CeleryEventBus, tmp_path: Path
) -> None:
    """Not before it is ready, not longer than half a minute while a handler blocks the loop."""
    file = tmp_path / "healthy"
    assert not is_healthy(file)
    # Left by another worker.
    file.touch()
    await fleet.start(program=PROGRAM, QT_HEALTH_FILE=str(file))
    assert is_healthy(file)
    first = file.stat().st_mtime
    await until(lambda: file.stat().st_mtime > first, what="a heartbeat")
    event = await publish(client, "blocks")
    await fleet.until_called("blocks", event=event)
    await until(lambda: age(file) > 5 * BEAT, what="no heartbeat")
    assert is_healthy(file)
    await until(lambda: not is_healthy(file), what="unhealthy")
    assert age(file) > 10 * BEAT
    file.with_name("healthy.go-on").touch()
    await until(lambda: is_healthy(file), what="healthy again")
