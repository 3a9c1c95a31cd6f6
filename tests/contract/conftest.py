"""Backends that the contract suite runs over, each declared with its features."""

import uuid
from collections.abc import Callable, Iterator

import pytest

pytest.register_assert_rewrite("qt_events.testing.contract")

from qt_events.testing import contract  # noqa: E402
from qt_events.testing.broker import Broker  # noqa: E402
from tests.support.contract.backends import WorkerBackend  # noqa: E402


@pytest.fixture(scope="module")
def worker_backends(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[type[WorkerBackend]], WorkerBackend]]:
    """Open one backend of a kind for the module, in a vhost of its own.

    Most scenarios share its worker process.
    """
    opened: dict[type[WorkerBackend], tuple[str, WorkerBackend]] = {}

    def backend(kind: type[WorkerBackend]) -> WorkerBackend:
        if kind not in opened:
            vhost, folder = f"qt-contract-{uuid.uuid4().hex}", tmp_path_factory.mktemp(kind.name)
            broker.management.create_vhost(vhost)
            url = broker.management.vhost_url(vhost)
            opened[kind] = vhost, kind(url, folder, contract.scenarios(kind.features))
        return opened[kind][1]

    yield backend
    for vhost, used in opened.values():
        used.end()
        broker.management.delete_vhost(vhost)
