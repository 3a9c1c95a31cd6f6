"""Row: a case that has been measured, as it is kept in JSON: every sample, and what follows from them."""

from collections.abc import Sequence
from statistics import median

from pydantic import BaseModel, computed_field

from benchmarks.case import Case, Target


class Spread(BaseModel, frozen=True):
    """Of several values: their median and range."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one."""
        return cls(median=median(values), least=min(values), most=max(values))


class Result(BaseModel, frozen=True):
    """What has become of a target."""

    target: Target
    reached: float | None  #: by the medians; None if a contender failed
    by_round: Spread | None  #: the same round by round
    met: bool


class Row(BaseModel, frozen=True):
    """Read from JSON, only the samples count: what follows from them follows again."""

    name: str
    what: str
    method: str
    units: tuple[str, ...]
    targets: tuple[Target, ...]
    samples: dict[str, list[dict[str, float]]]  #: by contender, a round each
    failed: dict[str, str] = {}  #: why, by contender that did not get through

    @classmethod
    def of(
        cls,
        case: Case,
        samples: dict[str, list[dict[str, float]]],
        failed: dict[str, str] | None = None,
    ) -> "Row":
        """That case with what came of it."""
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
        """Of what a contender gave that did not fail."""
        return Spread.of(self._values(contender, unit))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rounds(self) -> int:
        """How many there were."""
        return max(len(samples) for samples in self.samples.values())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def spreads(self) -> dict[str, dict[str, Spread]]:
        """By contender that did not fail and unit."""
        names = [name for name in self.samples if name not in self.failed]
        return {name: {unit: self.spread(name, unit) for unit in self.units} for name in names}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def results(self) -> list[Result]:
        """One for each target."""
        return [self.result(target) for target in self.targets]

    def result(self, target: Target) -> Result:
        """By the medians of both, and round by round."""
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
