"""run(): one scenario on one backend."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from qt_events.bus import EventBus
from qt_events.testing.contract.backend import Backend
from qt_events.testing.contract.recorder import EVERY_GATE, RECORDS, RecordedLog, Recorder
from qt_events.testing.contract.scenario import Scenario
from qt_events.testing.contract.scenario_run import ScenarioRun


async def run(kind: type[Scenario], backend: Backend, folder: Path) -> None:
    """Run one scenario on one backend. `folder` is empty and used by nothing else.

    Raises:
        AssertionError: the backend breaks the rule.
    """
    scenario = kind()
    with _recording(backend.records(kind, folder)) as recorder:
        async with _opened(backend, kind) as bus:
            members = await backend.members(scenario, bus)
            running = ScenarioRun(bus, members, recorder, backend.features)
            try:
                await running.start()
                await scenario.check(running)
            finally:
                if not backend.shares(kind):
                    running.open(EVERY_GATE)  # after a failed check handlers may still wait
                await running.stop()


@asynccontextmanager
async def _opened(backend: Backend, kind: type[Scenario]) -> AsyncIterator[EventBus]:
    bus = backend.open(kind)
    try:
        yield bus
    finally:
        await backend.close(bus)


@contextmanager
def _recording(path: Path) -> Iterator[Recorder]:
    before, log = os.environ.get(RECORDS), RecordedLog()
    os.environ[RECORDS] = str(path)
    logging.getLogger("qt_events").addHandler(log)
    try:
        yield Recorder(path)
    finally:
        logging.getLogger("qt_events").removeHandler(log)
        if before is None:
            del os.environ[RECORDS]
        else:
            os.environ[RECORDS] = before
