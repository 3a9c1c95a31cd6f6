"""Unstored: a handler that fails, and what keeps its outcome from being stored."""

import asyncio
from typing import Any

import pytest

from qt_events.events.event import Event
from tests.support.channels import channel_to


class Failing:
    """Handler that fails, and counts. May wait for `gate` first."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.calls, self.gate = 0, gate

    async def __call__(self, _: Event[Any]) -> None:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        raise OSError("no")


def delete(url: str, name: str) -> None:
    with channel_to(url) as channel:
        channel.queue_delete(name)
        channel.exchange_delete(name)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    texts = [each.getMessage() for each in caplog.records]
    return [text for text in texts if "cannot be stored" in text]
