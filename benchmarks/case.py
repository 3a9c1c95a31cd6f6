"""Case: one row of the table before it is measured. Target: the result that is expected of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

#: Figures of one run, by unit.
Sample = Mapping[str, float]


@dataclass(frozen=True)
class Target:
    """Expected result of ours: a ratio to another contender, a difference from it, or a figure."""

    #: The other contender, or "" for a figure without comparison.
    over: str
    value: float
    #: Whether `value` is an upper limit, as for a time, or a lower one, as for a rate.
    at_most: bool = False
    #: Unit of the compared figure; "" means the first unit of the case.
    unit: str = ""
    difference: bool = False
    #: Upper limit for the other contender's figure.
    cap: float | None = None

    def reached(self, ours: float, theirs: float) -> float:
        """Return the figure to compare with `value`."""
        if not self.over:
            return ours
        theirs = theirs if self.cap is None else min(theirs, self.cap)
        if self.difference:
            return ours - theirs
        return ours / theirs if theirs else float("inf")

    def met(self, reached: float) -> bool:
        """Return whether `reached` meets the target."""
        return reached <= self.value if self.at_most else reached >= self.value


@dataclass(frozen=True)
class Case:
    """Description of one measurement: units, contenders, targets and method."""

    name: str
    #: Description of the row in the table.
    what: str
    #: Units of the samples; the first one is compared.
    units: Sequence[str]
    #: Contenders by name; qt_events is "ours".
    contenders: Mapping[str, Callable[[], Sample]]
    targets: Sequence[Target] = ()
    #: Note under the table: how the row is measured, and where it is unfair or could mislead.
    method: str = ""
    #: Targets of `--check`: against a ceiling of the same run, near the figures reached so far.
    floors: Sequence[Target] = ()
    #: Whether one round is enough because it takes long; `what` then says so.
    once: bool = False
    #: Rounds for each asked round: more than one where a round is short and noisy.
    times: int = 1

    def rounds(self, asked: int) -> int:
        """Return the number of rounds of this case when `asked` rounds are asked for."""
        return 1 if self.once else asked * self.times

    def for_check(self) -> "Case":
        """Return this case with its floors as targets, and only the contenders that they name."""
        needed = {"ours", *(floor.over for floor in self.floors)}
        contenders = {name: run for name, run in self.contenders.items() if name in needed}
        return replace(self, targets=self.floors, contenders=contenders)
