"""PrivateCluster: its URLs, and a start that fails.

One that starts, and loses its nodes, is in tests/faults/test_cluster.py.
"""

from pathlib import Path

import pytest

from qt_events.errors import BrokerError, BusStateError
from qt_events.testing.cluster import PrivateCluster
from tests.integration.test_private_broker import processes_of, until


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
