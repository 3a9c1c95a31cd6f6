"""Assignment: the scenarios that a worker process serves, told through its environment."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from qt_events.testing.contract.recorder import RECORDS

_ASSIGNMENT = "QT_EVENTS_CONTRACT_ASSIGNMENT"  # environment variable: the fields, as JSON


@dataclass(frozen=True, slots=True)
class Assignment:
    """Scenarios and options of one worker process, told by the test and read by worker.py."""

    name: str  #: unique: of the worker, and of its record when it is ready
    url: str
    prefix: str
    records: str  #: the recorder's file
    scenarios: list[str]  #: paths for `load`
    options: dict[str, Any] = field(default_factory=dict)  #: keyword arguments of the bus

    def environment(self) -> dict[str, str]:
        """Return the variables that tell it."""
        return {_ASSIGNMENT: json.dumps(asdict(self)), RECORDS: str(Path(self.records))}

    @classmethod
    def mine(cls) -> Self:
        """Return the assignment of this process."""
        return cls(**json.loads(os.environ[_ASSIGNMENT]))
