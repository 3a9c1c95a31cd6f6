"""Progress of a command: a bar on a terminal, and a line at its end."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from qt_events.dead_letters.scan import Progress


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

    def show_done(self, done: int, total: int) -> None:
        """Show how many are done, of a total that may have grown since it was counted."""
        self.show(Progress(max(total, done), done))

    def count(self) -> None:
        """Count one more that is done; `show_scan` shows how far that is."""
        self.progress = Progress(0, self.progress.done + 1)

    def describe(self) -> str:
        """Return how far it came, in words."""
        done, total = self.progress.done, self.progress.total
        if not total:
            return f"{done:,} {self.action}"
        return f"{done:,} of {total:,} {self.action}, the others are as they were"
