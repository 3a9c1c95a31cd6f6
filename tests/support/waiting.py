"""Waiting for what another process does: polling, with a deadline and a text for the failure."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 40.0  # seconds for whatever a process is to do


async def until(condition: Callable[[], Any], timeout: float = PATIENCE, what: str = "") -> Any:
    """Poll the condition, and return its value as soon as that is true."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what or condition}"
        await asyncio.sleep(0.01)
    return result


async def until_told(question: Callable[[], Any], timeout: float = PATIENCE, what: str = "") -> Any:
    """Do the same as `until` in a thread, for a question that blocks, such as one to the broker."""
    deadline = time.monotonic() + timeout
    while not (result := await asyncio.to_thread(question)):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what or question}"
        await asyncio.sleep(0.05)
    return result
