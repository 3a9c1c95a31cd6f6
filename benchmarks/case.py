"""Case: one row of the table before it is measured; Target: what should come of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

Sample = Mapping[str, float]  #: what one run gave, by unit


@dataclass(frozen=True)
class Target:
    """What ours has to be: in ratio to another contender's, by difference from it, or by itself."""

    over: str  #: the other contender; "" if by itself
    value: float
    at_most: bool = False  #: else at least: of a rate more is better, of a time less
    unit: str = ""  #: of what is compared, if not the case's first
    difference: bool = False
    cap: float | None = None  #: the other's counts for no more than this

    def reached(self, ours: float, theirs: float) -> float:
        """What is to be compared with `value`."""
        if not self.over:
            return ours
        theirs = theirs if self.cap is None else min(theirs, self.cap)
        if self.difference:
            return ours - theirs
        return ours / theirs if theirs else float("inf")

    def met(self, reached: float) -> bool:
        """Whether that is enough."""
        return reached <= self.value if self.at_most else reached >= self.value


@dataclass(frozen=True)
class Case:
    """What is measured, of whom, and how."""

    name: str
    what: str  #: in words
    units: Sequence[str]  #: of the samples, the one that is compared first
    contenders: Mapping[str, Callable[[], Sample]]  #: ours is the one called "ours"
    targets: Sequence[Target] = ()
    method: str = (
        ""  #: how each is measured, what is unfair to whom, what one might think that it shows
    )
    floors: Sequence[
        Target
    ] = ()  #: against a ceiling of the same run, near what was reached: for `--check`
    once: bool = False  #: too long for more than one round, and `what` says so
    times: int = 1  #: rounds for each that is asked for: more where one is short and noisy

    def rounds(self, asked: int) -> int:
        """How many this row has."""
        return 1 if self.once else asked * self.times

    def for_check(self) -> "Case":
        """With its floors for targets, and only the contenders that these name."""
        needed = {"ours", *(floor.over for floor in self.floors)}
        contenders = {name: run for name, run in self.contenders.items() if name in needed}
        return replace(self, targets=self.floors, contenders=contenders)
