"""MakeBus: buses of one test, closed when it ends."""

from typing import Any

from qt_events.rabbitmq.bus import CeleryEventBus


class MakeBus:
    """Factory of CeleryEventBus on one vhost, for the fixture `make_bus`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[CeleryEventBus] = []

    def __call__(self, url: str | None = None, **options: Any) -> CeleryEventBus:
        """Make a bus, on the test's own vhost unless told otherwise."""
        self._made.append(CeleryEventBus(None if "app" in options else url or self._url, **options))
        return self._made[-1]

    def close(self) -> None:
        """Close every bus that was made."""
        for bus in self._made:
            bus.close()
