"""Progress of a command about dead letters: a bar on a terminal, and a line at its end."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.dead_letters.scan import Progress
from qt_events.texts import printable

if TYPE_CHECKING:
    from qt_events.errors import QtEventsError

_MOST_NAMED = 10  #: skipped dead letters that are named


class Bar:
    """Progress bar on standard error, only if that is a terminal; a context, gone afterwards."""

    def __init__(self, action: str) -> None:
        console = Console(stderr=True)
        self.action = action  #: done to each of them, as a participle
        self.progress = Progress(0)
        self._bar = RichProgress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(action, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._bar.stop()

    @property
    def has_begun(self) -> bool:
        """True once something was done."""
        return bool(self.progress.done or self.progress.skipped)

    def show_scan(self, seen: int, total: int) -> None:
        """Show how far the scan is; nothing is done yet."""
        self._bar.update(self._task, description="looked through", total=total, completed=seen)

    def show(self, progress: Progress) -> None:
        """Show how far the action is."""
        self.progress = progress
        done = progress.done + progress.skipped
        self._bar.update(self._task, description=self.action, total=progress.total, completed=done)

    def count(self) -> None:
        """Count one more that is done; `show_scan` shows how far that is."""
        self.progress = Progress(0, self.progress.done + 1)

    def describe(self) -> str:
        """Return how far it came, in words."""
        done, total = self.progress.done, self.progress.total
        if not total:
            return f"{done:,} {self.action}"
        return f"{done:,} of {total:,} {self.action}, the others are as they were"


class Skipped:
    """Dead letters that could not be sent back."""

    def __init__(self) -> None:
        self._count, self._named = 0, list[str]()

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, record: DeadLetterRecord, error: "QtEventsError") -> None:
        """Take one more, with the reason."""
        self._count += 1
        if len(self._named) < _MOST_NAMED:
            self._named.append(f"{printable(record.id)}: {printable(str(error))}")

    def lines(self) -> list[str]:
        """Return how many there are, and the first ones with their reasons."""
        more = self._count - len(self._named)
        return [f"{self._count:,} stay:", *self._named, *([f"and {more:,} more"] if more else [])]
