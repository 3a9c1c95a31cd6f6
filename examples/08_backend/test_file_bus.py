"""The contract suite over FileEventBus: `pytest examples/08_backend`."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from file_bus import FileEventBus

from qt_events import EventBus
from qt_events.testing import contract
from qt_events.testing.contract import Backend, Feature, Options, Scenario


class FileBackend(Backend):
    name = "file"
    lacks: ClassVar[Mapping[Feature, str]] = {
        Feature.FLEET: "two processes would both handle a file",
        Feature.BACKPRESSURE: "events wait in files, however many",
        Feature.FATES: "nobody is told",
        Feature.REPLAY: "a file does not say whether it was sent again",
        Feature.BATCHES: "a handler gets one file",
        Feature.START: "nobody keeps old events",
    }

    def __init__(self, folder: Path) -> None:
        self.url = f"file://{folder}"

    def bus(self, options: Options) -> EventBus:
        return FileEventBus(self.url, grace=options.grace)


@pytest.mark.asyncio
@pytest.mark.parametrize("scenario", contract.scenarios(FileBackend.features))
async def test_contract(scenario: type[Scenario], tmp_path: Path) -> None:
    await contract.run(scenario, FileBackend(tmp_path / "events"), tmp_path)
