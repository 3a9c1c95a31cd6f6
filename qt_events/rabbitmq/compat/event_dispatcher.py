"""Celery's dispatcher of events for monitors, with a say in what it sends and keeps."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import celery.events.dispatcher

from qt_events.rabbitmq.compat.names import MONITORS, are_there

_IS_KNOWN = are_there(MONITORS)
_KEPT = 1000  # batches and single events, while there is no connection; Celery 5.7 keeps all


class EventDispatcher(celery.events.dispatcher.EventDispatcher):
    """Asks `may_send` before each event or batch, and keeps a bounded number of unsent ones."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if _IS_KNOWN:
            self._outbound_buffer: deque[tuple[Any, str]] = deque(maxlen=_KEPT)

    def may_send(self, event: Any) -> bool:
        """Return False to leave out an event, or a batch of them."""
        raise NotImplementedError

    @property
    def unsent(self) -> Iterable[tuple[Any, str]]:
        """Events that were kept, with their routing keys."""
        return tuple(self._outbound_buffer) if _IS_KNOWN else ()

    def keep(self, unsent: Iterable[tuple[Any, str]]) -> None:
        """Send these events with the next flush."""
        if _IS_KNOWN:
            self._outbound_buffer.extend(unsent)

    def _publish(self, event: Any, *args: Any, **kwargs: Any) -> None:
        if self.may_send(event):
            super()._publish(event, *args, **kwargs)
