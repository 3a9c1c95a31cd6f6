"""The backends that the contract suite runs over, each declared with what it can do."""

import uuid
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("qt_events.testing.contract")

from qt_events.testing import contract  # noqa: E402
from qt_events.testing.broker import Broker  # noqa: E402
from qt_events.testing.contract.celery import WorkerBackend  # noqa: E402


@pytest.fixture(scope="module")
def worker_backend(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerBackend]:
    """One backend for the module: most scenarios share a worker process, in a vhost of their own."""
    vhost, folder = f"qt-contract-{uuid.uuid4().hex}", tmp_path_factory.mktemp("worker")
    broker.management.create_vhost(vhost)
    backend = WorkerBackend(broker.management.vhost_url(vhost), folder, contract.scenarios(WorkerBackend.features))
    yield backend
    backend.end()
    broker.management.delete_vhost(vhost)
