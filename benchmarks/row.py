"""Row: a measured case as it is kept in JSON, with every sample and the figures derived from it."""

from collections.abc import Sequence
from statistics import median

from pydantic import BaseModel, computed_field

from benchmarks.case import Case, Target


class Spread(BaseModel, frozen=True):
    """Median and range of several values."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(median=median(values), least=min(values), most=max(values))


class Result(BaseModel, frozen=True):
    """Result of one target."""

    target: Target
    #: Figure by the medians; None if a contender failed.
    reached: float | None
    #: Spread of the figures of each round.
    by_round: Spread | None
    met: bool


class Row(BaseModel, frozen=True):
    """Measured case. Only samples are read from JSON; the figures are computed from them again."""

    name: str
    what: str
    method: str
    units: tuple[str, ...]
    targets: tuple[Target, ...]
    #: Samples by contender, one for each round.
    samples: dict[str, list[dict[str, float]]]
    #: Reasons by contender, for those that failed.
    failed: dict[str, str] = {}

    @classmethod
    def of(
        cls,
        case: Case,
        samples: dict[str, list[dict[str, float]]],
        failed: dict[str, str] | None = None,
    ) -> "Row":
        """Make a row of a case and its samples."""
        return cls(
            name=case.name,
            what=case.what,
            method=case.method,
            units=tuple(case.units),
            targets=tuple(case.targets),
            samples=samples,
            failed=failed or {},
        )

    def spread(self, contender: str, unit: str) -> Spread:
        """Return the spread of a contender that did not fail."""
        return Spread.of(self._values(contender, unit))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return max(len(samples) for samples in self.samples.values())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def spreads(self) -> dict[str, dict[str, Spread]]:
        """Spreads by contender and unit, without the contenders that failed."""
        names = [name for name in self.samples if name not in self.failed]
        return {name: {unit: self.spread(name, unit) for unit in self.units} for name in names}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def results(self) -> list[Result]:
        """Results, one for each target."""
        return [self.result(target) for target in self.targets]

    def result(self, target: Target) -> Result:
        """Compare by the medians of both contenders, and round by round."""
        if self.failed.keys() & {"ours", target.over}:
            return Result(target=target, reached=None, by_round=None, met=False)
        unit = target.unit or self.units[0]
        ours = self._values("ours", unit)
        theirs = self._values(target.over, unit) if target.over else [0.0] * len(ours)
        reached = target.reached(median(ours), median(theirs))
        by_round = Spread.of([target.reached(*pair) for pair in zip(ours, theirs, strict=True)])
        return Result(target=target, reached=reached, by_round=by_round, met=target.met(reached))

    def _values(self, contender: str, unit: str) -> list[float]:
        return [sample[unit] for sample in self.samples[contender]]
