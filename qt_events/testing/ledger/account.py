"""Account: the sum of a ledger, a line a fault, and the verdict."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from operator import add
from typing import Any, Self

QUIET = "(before any)"  #: the line of everything before the first fault
# Deliveries that an error's text names
_SHOWN = 5


@dataclass(slots=True)
class Line:
    """Figures from one kind of fault until the next fault.

    A delivery counts at the time when its event was published. Duplicates, and what was never
    published, count at the time when they were handled or noted as dead letters.
    """

    struck: int = 0  #: times
    events: int = 0  #: attempted
    ok: int = 0  #: deliveries of confirmed events that were handled or are dead letters
    lost: int = 0  #: deliveries of confirmed events that were neither
    duplicated: int = 0  #: times that a subscription handled an event beyond the first
    unexpected: int = 0  #: deliveries of events never published, or not for this subscription
    recovered: int = 0  #: deliveries with an outcome though the publish was not confirmed
    failed: int = 0  #: deliveries without an outcome, of events that were not confirmed
    dead: int = 0  #: dead letters among the ok and recovered ones

    def __add__(self, other: Self) -> "Line":
        return Line(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True)
class Account:
    """The result of a run."""

    lines: Mapping[str, Line]  #: by fault
    errors: Mapping[str, int]  #: publishes that failed, by the error's name
    owed: Mapping[str, int]  #: deliveries of confirmed events, by subscription
    dead: Mapping[tuple[str, str], int]  #: dead letters, by subscription and reason
    lost: tuple[tuple[str, str], ...]  #: subscription and event
    unexpected: tuple[tuple[str, str], ...]
    unanswered: int  #: publishes that neither returned nor raised: their process was killed

    @property
    def total(self) -> Line:
        """All faults together."""
        return sum(self.lines.values(), start=Line())

    def verify(
        self, *, duplicates: int | None = None, dead: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """Check that nothing is lost and nothing unexpected, and that something happened at all.

        Args:
            duplicates: handled twice, at most. None: any number, at least once is the promise.
            dead: the reasons for which each subscription may have dead letters. None: any.

        Raises:
            AssertionError: else, with the whole account.
        """
        silent = [name for name, owed in self.owed.items() if not owed]
        complaints = [
            *_complaint("lost", self.lost),
            *_complaint("unexpected", self.unexpected),
            *(f"nothing was confirmed that {name} hears" for name in silent),
        ]
        complaints += [
            f"{count} dead letters of {name}: {reason}"
            for (name, reason), count in self.dead.items()
            if dead is not None and reason not in dead.get(name, ())
        ]
        if duplicates is not None and self.total.duplicated > duplicates:
            complaints.append(
                f"{self.total.duplicated} handled twice, more than the {duplicates} in flight"
            )
        if complaints:
            raise AssertionError("; ".join(complaints) + f"\n{self}")

    def as_dict(self) -> dict[str, Any]:
        """Return the account for JSON."""
        dead = {f"{name}: {reason}": count for (name, reason), count in self.dead.items()}
        return {**asdict(self), "dead": dead, "total": asdict(self.total)}

    def __str__(self) -> str:
        return self.table()

    def table(self) -> str:
        """Return a Markdown table: a row a fault, and their sum."""
        names = [each.name for each in fields(Line)]
        lines = {**self.lines, "together": self.total} if len(self.lines) != 1 else self.lines
        rows = [["fault", *names]]
        rows += [[fault, *map(str, astuple(line))] for fault, line in lines.items()]
        first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
        rows.insert(1, ["-" * first, *("-" * (width - 1) + ":" for width in others)])
        text = [
            f"| {' | '.join([fault.ljust(first), *map(str.rjust, figures, others)])} |"
            for fault, *figures in rows
        ]
        if self.errors:
            failures = ", ".join(f"{count} {name}" for name, count in sorted(self.errors.items()))
            text += ["", f"publishes that failed: {failures}"]
        return "\n".join(text)


def _complaint(what: str, deliveries: tuple[tuple[str, str], ...]) -> list[str]:
    shown = ", ".join(f"{event} of {name}" for name, event in deliveries[:_SHOWN])
    more = f" and {len(deliveries) - _SHOWN} more" if len(deliveries) > _SHOWN else ""
    return [f"{len(deliveries)} {what}: {shown}{more}"] if deliveries else []
