"""Fixtures of the tests of the Discord Notifier: a webhook, and a notifier that posts there."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.discord_notifier.webhook import Harness, Webhook
from workers.store import Store


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISCORD_WEBHOOK_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.dispose()


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    server = Webhook()
    await server.open()
    yield server
    await server.close()


@pytest.fixture
async def harness(store: Store, webhook: Webhook) -> AsyncIterator[Harness]:
    harness = Harness(store, webhook.url)
    async with harness.bus:
        yield harness
