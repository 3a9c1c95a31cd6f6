"""Backends that the contract suite runs over, each declared with its features."""

import uuid
from collections.abc import Callable, Iterator

import pytest

pytest.register_assert_rewrite("qt_events.testing.contract")

from qt_events.testing import contract  # noqa: E402
from qt_events.testing.broker import Broker  # noqa: E402
from tests.support.channels import empty  # noqa: E402
from tests.support.contract.backends import WorkerBackend  # noqa: E402


@pytest.fixture(scope="module")
def worker_backends(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[type[WorkerBackend]], WorkerBackend]]:
    """Open the backend of a kind, which most scenarios share with its worker process.

    One is open at a time. They have their queues in common: two hundred take the broker as long as
    everything that the scenarios do on them.
    """
    vhost, opened = f"qt-contract-{uuid.uuid4().hex}", list[WorkerBackend]()
    url = broker.management.create_vhost(vhost)

    def close() -> None:
        while opened:
            opened.pop().end()

    def backend(kind: type[WorkerBackend]) -> WorkerBackend:
        if [type(each) for each in opened] != [kind]:
            close()
            empty(broker.management, vhost)
            folder = tmp_path_factory.mktemp(kind.name)
            opened.append(kind(url, folder, contract.scenarios(kind.features)))
        return opened[0]

    yield backend
    close()
    broker.management.delete_vhost(vhost)
