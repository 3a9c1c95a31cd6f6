"""PrivateCluster: one broker on three nodes survives the loss of any, and leaves nothing behind."""

from pathlib import Path
from urllib.parse import urlsplit

import amqp
import pytest

from qt_events.errors import BrokerError, BusStateError
from qt_events.testing.broker.node import Node
from qt_events.testing.cluster import PrivateCluster
from tests.integration.test_private_broker import QUORUM, listens, opened, processes_of, until


def declare_on(node: Node, queue: str) -> None:
    with opened(node.url, confirm_publish=True) as channel:
        channel.queue_declare(queue, durable=True, auto_delete=False, arguments=QUORUM)
        channel.basic_publish_confirm(
            amqp.Message("still here", delivery_mode=2), routing_key=queue
        )


def test_a_quorum_queue_outlives_its_leader() -> None:
    """All nodes have a copy; the others elect a new leader, which has the message."""
    with PrivateCluster() as cluster:
        leader = cluster.nodes[1]
        declare_on(leader, "kept")
        assert cluster.leader("kept") is leader
        assert cluster.members("kept") == list(cluster.nodes)
        leader.kill()
        assert not listens(urlsplit(leader.url).port or 0)
        successor = cluster.leader("kept")
        assert successor in cluster.others(leader)
        with opened(successor.url) as channel:
            assert channel.basic_get("kept", no_ack=True).body == "still here"
    nothing_is_left(cluster)


def test_its_url_names_all_nodes_the_asked_one_first() -> None:
    """The URL is known before the start too."""
    cluster = PrivateCluster()
    urls = [node.management.vhost_url("a/b") for node in cluster.nodes]
    assert cluster.url_from(cluster.nodes[0], "a/b").split(";") == urls
    assert cluster.url_from(cluster.nodes[1], "a/b").split(";") == [urls[1], urls[0], urls[2]]
    assert cluster.url == cluster.url_from(cluster.nodes[0])


def test_a_cluster_that_does_not_come_up_leaves_nothing_behind() -> None:
    """A folder, an epmd and three nodes end at once."""
    cluster = PrivateCluster(startup_timeout=0.2)
    with pytest.raises(BrokerError, match=r"0\.2 s"):
        cluster.start()
    nothing_is_left(cluster)
    with pytest.raises(BusStateError, match="start"):
        cluster.settle()


def nothing_is_left(cluster: PrivateCluster) -> None:
    until(lambda: not any(processes_of(Path(node.name)) for node in cluster.nodes))
