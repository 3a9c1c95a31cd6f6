"""Dead letters that record what is asked of them, for tests of `qt-events dead-letters`."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from qt_events.dead_letters.filters import Where
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.dead_letters.scan import OnScan, Progress
from qt_events.errors import IncompleteDeadLetterError

APP = ("-A", "desk")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
Run = Callable[..., int]


def letter(number: int, **fields: Any) -> DeadLetterRecord:
    given: dict[str, Any] = {
        "subscription": "s", "event_id": f"e{number}", "event_type": "a.b", "reason": "exhausted",
        "attempts": 3, "exception_type": "OSError", "message": str(number), "body": b"{}",
        "traceback": "Traceback\n  here", "host": "h", "first_failed": NOON.replace(second=number),
        "last_failed": NOON.replace(second=number), "id": f"d{number}", **fields,
    }  # fmt: skip
    return DeadLetterRecord(**given)


class Letters:
    """Dead letters that answer each call, and record it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.records = [letter(1), letter(2)]
        self.error: BaseException | None = None
        self.skips = self.looks_only = False
        self.answer = 5

    async def stream(
        self, subscription: str | None, *, where: Where | None, on_scan: OnScan
    ) -> AsyncIterator[DeadLetterRecord]:
        self.calls.append(("stream", subscription, *([where] if where else [])))
        on_scan(2, 7)
        for record in self.records:
            yield record

    async def show(self, id: str, *, subscription: str | None, on_scan: OnScan) -> DeadLetterRecord:
        self.calls.append(("show", id, subscription))
        on_scan(2, 7)
        return self.records[0]

    def _answer(
        self,
        *call: Any,
        on_scan: Any = None,
        on_progress: Any = None,
        on_skipped: Any = None,
        **options: Any,
    ) -> int:
        self.calls.append((*call, {name: value for name, value in options.items() if value}))
        if on_scan:
            on_scan(6, 7)
            if self.looks_only:
                return 0
        if on_progress:
            on_progress(Progress(5, 2))
        if self.skips:
            on_skipped(self.records[0], IncompleteDeadLetterError("too large"))
        if self.error:
            raise self.error
        return self.answer

    async def retry_many(self, ids: list[str], **options: Any) -> int:
        return self._answer("retry", *ids, **options)

    async def retry_all(self, subscription: str, **options: Any) -> int:
        return self._answer("retry all", subscription, **options)

    async def discard_many(self, ids: list[str], **options: Any) -> int:
        return self._answer("discard", *ids, **options)

    async def discard_all(self, subscription: str, **options: Any) -> int:
        return self._answer("discard all", subscription, **options)
