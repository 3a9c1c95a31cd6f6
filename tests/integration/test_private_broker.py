"""PrivateBroker: a node starts by itself, can be harmed by tests, and leaves nothing behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import amqp
import pytest

from qt_events.errors import BrokerError, BusStateError
from qt_events.testing.broker import Broker, PrivateBroker
from qt_events.testing.broker.management import Management

QUORUM = {"x-queue-type": "quorum"}


@contextlib.contextmanager
def opened(url: str, **options: object) -> Iterator[amqp.Channel]:
    """Open a channel on its own connection; close abruptly if the broker is gone."""
    parts = urlsplit(url)
    connection = amqp.Connection(
        f"{parts.hostname}:{parts.port}", virtual_host=parts.path[1:], **options
    )
    connection.connect()
    try:
        yield connection.channel()
        connection.close()
    finally:
        connection.collect()


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not become true in time"
        time.sleep(0.02)


def processes_of(folder: Path) -> list[str]:
    """Return the commands of living processes with `folder` in their command or environment.

    These are node, epmd, keeper and everything that they started.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment, command = (
                (entry / "environ").read_bytes(),
                (entry / "cmdline").read_bytes(),
            )
            if os.fsencode(folder) in environment + command:
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_vhost_of_its_own_is_ready_to_use(
    amqp_url: str, vhost: str, management: Management
) -> None:
    with opened(amqp_url) as channel:
        channel.exchange_declare("qt.events", "topic", durable=True, auto_delete=False)
        channel.queue_declare(
            "a queue/with a slash", durable=True, auto_delete=False, arguments=QUORUM
        )
        channel.queue_bind("a queue/with a slash", "qt.events", "policy.#")
        assert "qt.events" in {exchange["name"] for exchange in management.exchanges(vhost)}
        assert [queue["name"] for queue in management.queues(vhost)] == ["a queue/with a slash"]
        assert ("qt.events", "policy.#") in {
            (b["source"], b["routing_key"]) for b in management.bindings(vhost)
        }


def test_connections_are_closed_from_the_brokers_side(
    amqp_url: str, vhost: str, management: Management
) -> None:
    with opened(amqp_url) as channel:
        # One so new that no list has it yet.
        assert management.connections(vhost) == []
        assert management.close_connections(vhost) == 1
        with pytest.raises(amqp.ConnectionForced):
            channel.connection.drain_events(timeout=10)


def test_a_refused_request_says_why(management: Management) -> None:
    with pytest.raises(BrokerError, match="404"):
        management.delete_vhost("no such vhost")


def test_a_killed_node_keeps_a_quorum_queues_message(harmed: PrivateBroker) -> None:
    with opened(harmed.url, confirm_publish=True) as channel:
        channel.queue_declare("kept", durable=True, auto_delete=False, arguments=QUORUM)
        channel.basic_publish_confirm(
            amqp.Message("still here", delivery_mode=2), routing_key="kept"
        )
    harmed.settle()
    harmed.kill()
    assert not listens(urlsplit(harmed.url).port or 0)
    harmed.restart()
    with opened(harmed.url) as channel:
        assert channel.basic_get("kept", no_ack=True).body == "still here"


def test_a_suspended_node_is_silent_until_it_is_resumed(harmed: PrivateBroker) -> None:
    with opened(harmed.url, read_timeout=0.5) as channel:
        harmed.suspend()
        try:
            with pytest.raises(TimeoutError):
                channel.queue_declare("silent", exclusive=True)
        finally:
            harmed.resume()
        channel.connection.drain_events(timeout=10)


def test_a_blocked_node_says_so_to_a_connection_that_publishes(harmed: PrivateBroker) -> None:
    notices: list[str] = []
    hooks = {
        "on_blocked": lambda reason: notices.append("blocked"),
        "on_unblocked": lambda: notices.append("unblocked"),
    }
    with opened(harmed.url, **hooks) as channel:
        harmed.block()
        channel.basic_publish(amqp.Message("held up"), routing_key="nowhere")
        until(lambda: _drained(channel) and notices == ["blocked"])
        harmed.unblock()
        until(lambda: _drained(channel) and notices == ["blocked", "unblocked"])


def _drained(channel: amqp.Channel) -> bool:
    with contextlib.suppress(TimeoutError):
        channel.connection.drain_events(timeout=0.1)
    return True


def test_two_nodes_stand_side_by_side_and_one_that_stops_leaves_nothing_behind(
    harmed: PrivateBroker,
) -> None:
    """A node sees no other, and ends with its epmd and its folder, even while it is suspended."""
    with PrivateBroker() as other:
        other.management.create_vhost("only there")
        assert "only there" in other.rabbitmqctl("list_vhosts")
        assert "only there" not in harmed.rabbitmqctl("list_vhosts")
        folder = other.folder
        running = "\n".join(processes_of(folder))
        assert "beam" in running
        assert "epmd" in running
        other.suspend()
    assert harmed.management.check("virtual-hosts")
    assert not folder.exists()
    until(lambda: not processes_of(folder))


def test_its_version_can_be_compared(harmed: PrivateBroker) -> None:
    told = harmed.rabbitmqctl("version").strip()
    assert told.startswith(".".join(map(str, harmed.management.version())))
    assert harmed.management.version() > (3, 9)


def test_an_expression_has_a_value_or_fails_by_name(harmed: PrivateBroker) -> None:
    """Erlang's own words are in the error."""
    assert harmed.evaluate("1 + 1.") == "2"
    for wrong in ("ok = refused.", "1 +"):
        with pytest.raises(BrokerError, match=r"refused|Incomplete"):
            harmed.evaluate(wrong)


def test_without_erl_call_rabbitmqctl_evaluates(
    harmed: PrivateBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An Erlang without its C programs is enough."""
    monkeypatch.setattr("qt_events.testing.broker.node.erl_call", lambda: None)
    assert harmed.evaluate("1 + 1.") == "2"


def test_a_node_does_not_outlive_a_killed_parent() -> None:
    """It ends with its epmd, even while it starts."""
    program = (
        "import time\n"
        "from qt_events.testing.broker.erlang import ErlangHost\n"
        "from qt_events.testing.broker.node import Node\n"
        "host = ErlangHost('qt-events-orphan-'); host.open(); Node(host).launch()\n"
        "print(host.folder, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        folder = Path(parent.stdout.readline().strip())
        until(lambda: any("beam" in command for command in processes_of(folder)))
        parent.send_signal(signal.SIGKILL)
    until(lambda: not folder.exists() and not processes_of(folder))


def test_a_node_that_cannot_start_shows_the_end_of_its_log() -> None:
    """The cause of its end is in the error."""
    node = PrivateBroker(settings={"no_such_setting": "1"})
    with pytest.raises(BrokerError, match="failed_to_prepare_configuration"):
        node.start()
    with pytest.raises(BusStateError, match="start"):
        _ = node.folder


def test_the_shared_broker_is_one_for_the_whole_run(broker: Broker, management: Management) -> None:
    assert broker.management is management
