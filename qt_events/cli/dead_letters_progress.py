"""How far a command about dead letters has come: a bar on a terminal, and words for its end."""

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

from qt_events.cli.dead_letters_shown import printable
from qt_events.dead_letters.interface import Progress
from qt_events.dead_letters.record import DeadLetterRecord

if TYPE_CHECKING:
    from qt_events.errors import QtEventsError

_NAMED = 10  # of those that were skipped


class Bar:
    """A context. On standard error, and only if that is a terminal; it is gone afterwards."""

    def __init__(self, what: str) -> None:
        console = Console(stderr=True)
        self.what = what  #: is done to each
        self.progress = Progress(0)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
        )
        self._bar = RichProgress(
            *columns,
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=None)

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
        """Whether anything was done."""
        return bool(self.progress.done or self.progress.skipped)

    def look(self, seen: int, total: int) -> None:
        """How far looking is; nothing is done yet."""
        self._bar.update(self._task, description="looked through", total=total, completed=seen)

    def show(self, progress: Progress) -> None:
        """How far doing it is."""
        self.progress = progress
        done = progress.done + progress.skipped
        self._bar.update(self._task, description=self.what, total=progress.total, completed=done)

    def count(self) -> None:
        """One more of those looked through is done; looking says how far that is."""
        self.progress = Progress(0, self.progress.done + 1)

    def told(self) -> str:
        """How far it came, in words."""
        done, total = self.progress.done, self.progress.total
        return (
            f"{done:,} of {total:,} {self.what}, the others are as they were"
            if total
            else f"{done:,} {self.what}"
        )


class Skipped:
    """Those that could not be sent back."""

    def __init__(self) -> None:
        self._count, self._told = 0, list[str]()

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, record: DeadLetterRecord, error: "QtEventsError") -> None:
        """One more, and why."""
        self._count += 1
        if len(self._told) < _NAMED:
            self._told.append(f"  {printable(record.id)}: {printable(str(error))}")

    def __str__(self) -> str:
        more = self._count - len(self._told)
        lines = [f"{self._count:,} stay:", *self._told, *([f"  and {more:,} more"] if more else [])]
        return "\n".join(lines)
