"""Interleaved rounds: A B C A B C ..., so that whatever else the machine does meets all alike; medians and ranges."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Sample = Mapping[str, float]  #: what one run gave, by unit


@dataclass(frozen=True)
class Target:
    """What ours has to be: in ratio to another contender's, by difference from it, or by itself."""

    over: str  #: the other contender; "" if by itself
    value: float
    at_most: bool = False  #: else at least: of a rate more is better, of a time less
    unit: str = ""  #: of what is compared, if not the case's first
    difference: bool = False

    def reached(self, ours: float, theirs: float) -> float:
        """What is to be compared with `value`."""
        if not self.over:
            return ours
        if self.difference:
            return ours - theirs
        return ours / theirs if theirs else float("inf")

    def met(self, reached: float) -> bool:
        """Whether that is enough."""
        return reached <= self.value if self.at_most else reached >= self.value


@dataclass(frozen=True)
class Case:
    """One row: what is measured, of whom, and what should come of it."""

    name: str
    what: str  #: in words
    units: Sequence[str]  #: of the samples, the one that is compared first
    contenders: Mapping[str, Callable[[], Sample]]  #: ours is the one called "ours"
    targets: Sequence[Target] = ()
    rounds: int | None = None  #: where one is enough
    shows_not: str = ""  #: what one might think that it shows


@dataclass(frozen=True)
class Spread:
    """Of one contender's samples in one unit."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Row:
    """A case, measured."""

    case: Case
    samples: Mapping[str, Sequence[Sample]]

    def spread(self, contender: str, unit: str) -> Spread:
        """Of what it gave."""
        return Spread.of([sample[unit] for sample in self.samples[contender]])

    def reached(self, target: Target) -> float:
        """By the medians."""
        unit = target.unit or self.case.units[0]
        theirs = self.spread(target.over, unit).median if target.over else 0.0
        return target.reached(self.spread("ours", unit).median, theirs)


def measure(case: Case, rounds: int, tell: Callable[[str], None]) -> Row:
    """Run each contender once a round."""
    samples: dict[str, list[Sample]] = {name: [] for name in case.contenders}
    for number in range(case.rounds or rounds):
        for name, run in case.contenders.items():
            tell(f"{case.name}: {name}, round {number + 1}")
            samples[name].append(run())
    return Row(case, samples)
