"""A wall clock that jumps, in processes that a test starts."""

from pathlib import Path
from typing import Any

from tests.support.faketime import installed_faketime
from tests.support.provision import NEEDS


class WallClock:
    """Wall clock of processes started with its environment; their monotonic clock is real."""

    def __init__(self, folder: Path) -> None:
        library = installed_faketime()
        assert library is not None, NEEDS["faketime"].advice
        self._file = folder / "wall-clock"
        self.jump("+0d")
        self.environment: dict[str, Any] = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # Else whoever waits for CPython's interpreter lock has waited long enough at once,
            # again and again.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, to: str) -> None:
        """Set it so far from the machine's: `-1d`, `+1d`."""
        new = self._file.with_suffix(".new")
        new.write_text(to)
        new.replace(self._file)
