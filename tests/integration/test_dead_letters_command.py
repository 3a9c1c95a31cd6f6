"""`qt-events dead-letters` as processes on a real broker: output, effects and exit codes."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import amqp
import pytest

from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.dead_letters.scan import BATCH
from qt_events.rabbitmq.messages.envelope import headers_of
from qt_events.testing.broker import Broker
from qt_events.testing.broker.management import Management
from qt_events.testing.ports import free_ports
from tests.support.buses import MakeBus
from tests.support.channels import channel_to, depth
from tests.support.fleet.commands import run_command
from tests.support.fleet.flower import QT_EVENTS
from tests.support.lasting import lasting
from tests.support.waiting import until_told

# More than one batch; at this rate the command takes twelve seconds, and it is ended after one.
MANY = BATCH + 100
AT_A_RATE = ("retry", "--all", "-s", "orders", "--rate", "50")
BEGUN = 30

APP = """\
import os
from qt_events import CeleryEventBus

def handle(event):
    pass

bus = CeleryEventBus(os.environ["DESK_URL"])
bus.subscribe("orders.*", handle, name="orders")
app = bus.app
"""


async def ignore(_: Any) -> None:
    """Never called: nobody serves these subscriptions."""


@pytest.fixture
async def url(amqp_url: str, make_bus: MakeBus) -> str:
    """URL of a vhost where `orders` and `audit` are declared, and nobody serves them."""
    for name in ("orders", "audit"):
        bus = make_bus()
        bus.subscribe(f"{name}.*", ignore, name=name)
        await lasting(bus)
    return amqp_url


def record(subscription: str, number: int) -> DeadLetterRecord:
    failed = datetime.now(UTC)
    return DeadLetterRecord(
        subscription=subscription, event_id=f"e{number}", event_type="orders.placed",
        reason="exhausted", attempts=3, exception_type="LookupError", message=f"number {number}",
        traceback="Traceback: here", first_failed=failed, last_failed=failed, id=f"d{number}",
        body=b'{"number": %d}' % number,
        properties={
            "message_id": f"e{number}", "content_type": "application/json", "delivery_mode": 2,
        },
    )  # fmt: skip


def bury(url: str, subscription: str, numbers: Iterable[int]) -> None:
    """Put dead letters into a queue, as a worker would have."""
    records = [record(subscription, number) for number in numbers]
    with channel_to(url) as channel:
        for each in records:
            message = amqp.Message(
                each.body, application_headers=headers_of(each, subscription), **each.properties
            )
            channel.basic_publish(message, "", f"qt.dead.{subscription}")
        while channel.queue_declare(f"qt.dead.{subscription}", passive=True).message_count < len(
            records
        ):
            pass


def emptied(url: str, queue: str) -> list[str]:
    """The message ids of all that waited there, in order."""
    found = []
    with channel_to(url) as channel:
        while (raw := channel.basic_get(queue, no_ack=True)) is not None:
            found.append(str(raw.properties["message_id"]))
    return found


def start(url: str, *args: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [QT_EVENTS, "dead-letters", *args],
        env={**os.environ, "QT_BROKER_URL": url, **environment},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(url: str, *args: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a forked command."""
    return run_command("dead-letters", *args, **{"QT_BROKER_URL": url, **environment})


def run_script(url: str, *args: str) -> tuple[int, str, str]:
    """The same of the script that users start."""
    process = start(url, *args)
    out, err = process.communicate()
    return process.returncode, out, err


def stopped_by(number: signal.Signals, url: str, has_begun: Callable[[], bool]) -> tuple[int, str]:
    """Retry all, end it when it has begun; exit code and standard error."""
    process = start(url, *AT_A_RATE)
    try:
        while not has_begun():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate()
    finally:
        process.kill()
    return process.returncode, err


async def test_an_operator_works_with_nothing_but_urls(url: str, broker: Broker) -> None:
    """Finds the dead letters of all subscriptions, and sends some back, to their own alone."""
    await asyncio.to_thread(bury, url, "orders", range(4))
    await asyncio.to_thread(bury, url, "audit", [10])
    code, out, err = await asyncio.to_thread(
        run_script, url, "list", "--json", "--management-url", broker.management_url
    )
    listed = json.loads(out)
    assert (code, err, listed["total"]) == (0, "", 5)
    assert [(group["subscription"], group["count"]) for group in listed["groups"]] == [
        ("audit", 1),
        ("orders", 4),
    ]
    assert [each["id"] for each in listed["dead_letters"]] == ["d10", "d3", "d2", "d1", "d0"]

    assert await asyncio.to_thread(run, url, "retry", "-s", "orders", "d2", "d0") == (
        0,
        "2 sent back\n",
        "",
    )
    assert sorted(emptied(url, "qt.sub.orders")) == ["e0", "e2"]
    assert depth(url, "qt.sub.audit") == 0


async def test_export_writes_what_there_is_and_an_unknown_id_discards_nothing(
    url: str, tmp_path: Path
) -> None:
    """Dead letters go in the order in which they came, with their bodies."""
    await asyncio.to_thread(bury, url, "orders", [1, 3])
    code, out, err = await asyncio.to_thread(run, url, "discard", "-s", "orders", "d1", "d2")
    assert (code, out) == (1, "")
    assert "there is no dead letter 'd2' among 2" in err
    path = tmp_path / "dead.jsonl"
    assert (await asyncio.to_thread(run, url, "export", "-s", "orders", "-o", str(path)))[0] == 0
    exported = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(each["id"], each["body"]) for each in exported] == [
        ("d1", '{"number": 1}'),
        ("d3", '{"number": 3}'),
    ]


async def test_an_app_tells_which_subscriptions_there_are(url: str, tmp_path: Path) -> None:
    """The app replaces the management API; a subscription that it does not know can be named."""
    (tmp_path / "desk.py").write_text(APP)
    await asyncio.to_thread(bury, url, "orders", [1])
    await asyncio.to_thread(bury, url, "audit", [2])
    app = {"DESK_URL": url, "PYTHONPATH": str(tmp_path)}
    code, out, _ = await asyncio.to_thread(run, "", "show", "d1", "-A", "desk", "--json", **app)
    assert (code, json.loads(out)["body"]) == (0, '{"number": 1}')
    code, _, err = await asyncio.to_thread(run, "", "discard", "d2", "-A", "desk", **app)
    assert code == 1
    assert "there is no dead letter 'd2'" in err
    discarded = await asyncio.to_thread(
        run, "", "discard", "d2", "-A", "desk", "-s", "audit", **app
    )
    assert discarded == (0, "1 discarded\n", "")


async def test_a_url_is_the_broker_of_an_app_that_says_which_subscriptions(
    url: str, tmp_path: Path
) -> None:
    """The app's own broker is not asked, nor any management API."""
    (tmp_path / "desk.py").write_text(APP)
    await asyncio.to_thread(bury, url, "orders", [1])
    await asyncio.to_thread(bury, url, "audit", [2])
    nowhere = f"amqp://guest:guest@127.0.0.1:{free_ports(1)[0]}//"
    app = {"DESK_URL": nowhere, "PYTHONPATH": str(tmp_path), "QT_APP": "desk"}
    code, out, err = await asyncio.to_thread(run, url, "list", "--json", **app)
    assert (code, err) == (0, "")
    assert [each["id"] for each in json.loads(out)["dead_letters"]] == ["d1"]


async def test_without_a_broker_the_password_stays_out_of_the_error() -> None:
    """The passwords of the broker and of the management API are not shown."""
    amqp_port, http_port = free_ports(2)
    nowhere = f"amqp://somebody:s3cret@127.0.0.1:{amqp_port}//"
    named, listed = await asyncio.gather(
        asyncio.to_thread(run, nowhere, "retry", "--all", "-s", "orders"),
        asyncio.to_thread(
            run, nowhere, "list", QT_MANAGEMENT_URL=f"http://somebody:s3cret@127.0.0.1:{http_port}"
        ),
    )
    assert (named[0], str(amqp_port) in named[2]) == (1, True)
    assert (listed[0], str(http_port) in listed[2], "--subscription" in listed[2]) == (
        1,
        True,
        True,
    )
    assert "s3cret" not in repr((named, listed))


async def test_killed_in_the_middle_it_loses_none(url: str) -> None:
    """Some may be sent back and dead letters still, at most as many as are sent at once."""
    await asyncio.to_thread(bury, url, "orders", range(MANY))
    code, _ = await asyncio.to_thread(
        stopped_by, signal.SIGKILL, url, lambda: depth(url, "qt.sub.orders") >= BEGUN
    )
    assert code == -signal.SIGKILL
    sent = await asyncio.to_thread(emptied, url, "qt.sub.orders")
    await until_told(lambda: depth(url, "qt.dead.orders") >= MANY - len(sent))
    left = await asyncio.to_thread(emptied, url, "qt.dead.orders")
    assert {*sent, *left} == {f"e{number}" for number in range(MANY)}
    assert len(sent) + len(left) - MANY <= BATCH


async def test_ctrl_c_ends_it_in_order(url: str) -> None:
    """Exit code 130, and the number sent: these are no dead letters any more, all others are."""
    await asyncio.to_thread(bury, url, "orders", range(MANY))
    code, err = await asyncio.to_thread(
        stopped_by, signal.SIGINT, url, lambda: depth(url, "qt.sub.orders") >= BEGUN
    )
    sent = await asyncio.to_thread(emptied, url, "qt.sub.orders")
    left = await asyncio.to_thread(emptied, url, "qt.dead.orders")
    progress = f"{len(sent):,} of {MANY:,} sent back, the others are as they were"
    assert (code, err) == (130, f"qt-events: interrupted: {progress}\n")
    assert sent == [f"e{number}" for number in range(len(sent))]
    assert sorted(sent + left) == sorted(f"e{number}" for number in range(MANY))


async def test_a_broker_that_closes_the_connections_ends_it_by_name(
    url: str, vhost: str, management: Management
) -> None:
    """The command says how many were sent before, and nothing is lost."""
    await asyncio.to_thread(bury, url, "orders", range(MANY))
    process = await asyncio.to_thread(start, url, *AT_A_RATE)
    await until_told(lambda: depth(url, "qt.sub.orders") >= BEGUN)
    # The publisher comes back by itself; whoever reads does not
    while process.poll() is None:
        await asyncio.to_thread(management.close_connections, vhost)
        await asyncio.sleep(0.05)
    _, err = await asyncio.to_thread(process.communicate)
    assert process.returncode == 1
    assert f"of {MANY:,} sent back" in err
    assert "no answer from" in err or "ended the look" in err
    sent = await asyncio.to_thread(emptied, url, "qt.sub.orders")
    await until_told(lambda: depth(url, "qt.dead.orders") >= MANY - len(sent))
    left = await asyncio.to_thread(emptied, url, "qt.dead.orders")
    assert {*sent, *left} == {f"e{number}" for number in range(MANY)}
