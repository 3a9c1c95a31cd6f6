"""Programs in examples/ run as a newcomer runs them: in a process, judged by what they print."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qt_events.testing.broker.management import Management
from qt_events.testing.keeper import Keeper
from tests.support.fleet.forks import ForkingKeeper

EXAMPLES = Path(__file__).parents[2] / "examples"
WORKER_STARTUP = 60  # seconds
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

CONSUMERS = """\
orchestrator         1
dashboard            2
analytics            2
performance_tracker  1
discord              1
event_log            6
6 published, 6 dispatched, 0 errors
"""


def process(program: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(EXAMPLES / program), *args]
    env = {**os.environ, **environment}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=90, env=env)


def output(program: str, *args: str, **environment: str) -> str:
    finished = process(program, *args, **environment)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_every_example_is_run() -> None:
    """Every example has a test here; add one for a new example."""
    assert sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.py")) == [
        "01_hello_in_memory.py",
        "02_msc_ai_to_orchestrator.py",
        "03_health_monitor_to_discord.py",
        "04_retry_and_dead_letter.py",
        "05_over_rabbitmq.py",
        "06_celery_worker/desk.py",
        "06_celery_worker/publish.py",
        # These by tests/integration/test_pytest_plugin.py
        "07_testing/conftest.py",
        "07_testing/risk_desk.py",
        "07_testing/test_first.py",
        "07_testing/test_fleet.py",
        "07_testing/test_policy.py",
        # These two by tests/contract/test_file_backend.py
        "08_backend/file_bus.py",
        "08_backend/test_file_bus.py",
        "09_outbox/order.py",
        "09_outbox/shop.py",
        "example_usage.py",
    ]


def test_hello_in_memory() -> None:
    """Handlers of a type and of a pattern are called, async and sync, in any order."""
    *handled, stats = output("01_hello_in_memory.py").splitlines()
    assert sorted(handled) == ["Ada has 3 letters", "Grace has 5 letters", "hello, Ada"]
    assert stats == "2 published, 3 delivered, 0 errors"


def test_outbox(tmp_path: Path) -> None:
    """An order's row and its event are one; one that is refused has neither."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / "09_outbox" / "order.py")]
    finished = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=90, cwd=tmp_path
    )
    assert finished.stdout == "A-1 201\nA-2 201\nA-1 409\npacked A-1 A-2\n", finished.stderr


def test_msc_ai_to_orchestrator() -> None:
    """The reference's first integration: the Orchestrator has the policy that MSC AI published."""
    assert output("02_msc_ai_to_orchestrator.py") == (
        "policy updated: DEFENSIVE, at most 5 positions\n"
        "the orchestrator allows momentum, reversal\n"
    )


def test_health_monitor_to_discord() -> None:
    """The reference's second integration: of three changes, only the critical one is an alert."""
    assert output("03_health_monitor_to_discord.py") == (
        "[discord] DrawdownGuard is CRITICAL: daily drawdown -6.1 %\n"
        "3 changes, 1 alert, 2 filtered out\n"
    )


def test_retry_and_dead_letter() -> None:
    """Three attempts or a Reject make a dead letter; one that is sent back is handled."""
    finished = process("04_retry_and_dead_letter.py")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "A-1: the gateway is closed",
        "A-1: the gateway is closed",
        "A-1: the gateway is closed",
        "rejected after 1 attempt(s): no attempt will make this quantity right",
        "exhausted after 3 attempt(s): gateway closed",
        "A-1: submitted",
        "sent back: 1",
        "dead letters left: 0",
    ]
    assert "broker.submit: attempt 1 failed" in finished.stderr


@pytest.mark.parametrize("backend", ["memory", "rabbitmq"])
def test_over_rabbitmq(backend: str, amqp_url: str) -> None:
    """The program prints the same in memory and over RabbitMQ; an alarm names its cause."""
    args = [amqp_url] if backend == "rabbitmq" else []
    published, alarm, stats = output("05_over_rabbitmq.py", *args).splitlines()
    found = re.fullmatch(f"published ({UUID})", published)
    assert found
    assert alarm == f"BTCUSDT is low, because of {found[1]}"
    assert stats == "2 published, 2 delivered, 1 retried"


def test_over_rabbitmq_by_environment(amqp_url: str, management: Management, vhost: str) -> None:
    """QT_EVENTS_URL names the broker too, and the durable queues stay on it afterwards."""
    output("05_over_rabbitmq.py", QT_EVENTS_URL=amqp_url)
    assert {"qt.sub.example.alarm", "qt.sub.example.report"} <= {
        each["name"] for each in management.queues(vhost)
    }


def test_example_usage_in_memory() -> None:
    """All six event types reach the consumers that want them."""
    assert output("example_usage.py") == CONSUMERS


def test_example_usage_over_rabbitmq(amqp_url: str, management: Management, vhost: str) -> None:
    """The output is the same over RabbitMQ, and nothing is left on the broker."""
    assert output("example_usage.py", amqp_url) == CONSUMERS
    assert management.queues(vhost) == []


# The fleet


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """End the workers that a test starts."""
    keeper = ForkingKeeper("qt-events-examples-")
    yield keeper
    keeper.close()


def log_of(keeper: Keeper, name: str) -> str:
    return (keeper.folder / f"{name}.out").read_text()


def wait_for(keeper: Keeper, texts: dict[str, int], *names: str) -> str:
    """Return the logs of these workers, once they hold each text so many times."""
    deadline = time.monotonic() + WORKER_STARTUP
    while True:
        log = "\n".join(log_of(keeper, name) for name in names)
        if all(log.count(text) >= count for text, count in texts.items()):
            return log
        assert time.monotonic() < deadline, log
        time.sleep(0.05)


def test_celery_worker(keeper: Keeper, amqp_url: str) -> None:
    """Trades are booked and archived once by two workers, and both follow the policy."""
    environment = {"CELERY_BROKER_URL": amqp_url}
    too_early = process("06_celery_worker/publish.py", **environment)
    assert too_early.returncode == 1
    assert "no queue is bound for 'policy.updated'" in too_early.stderr

    celery = [
        sys.executable,
        "-m",
        "celery",
        "--workdir",
        str(EXAMPLES / "06_celery_worker"),
        "-A",
        "desk",
        "worker",
    ]
    for name in ("desk-1", "desk-2"):
        command = [*celery, "--loglevel", "INFO", "--hostname", f"{name}@%h"]
        keeper.spawn(name, command, {**os.environ, **environment})
    wait_for(keeper, {" ready.": 1}, "desk-1")
    wait_for(keeper, {" ready.": 1}, "desk-2")

    published = output("06_celery_worker/publish.py", **environment)
    assert published.splitlines() == ["published policy.updated"] + 3 * ["published trade.executed"]
    handled = {f"{what} A-{number}": 1 for what in ("booked", "archived") for number in (1, 2, 3)}
    log = wait_for(keeper, {**handled, "follow DEFENSIVE": 2}, "desk-1", "desk-2")
    assert {text: log.count(text) for text in handled} == handled
