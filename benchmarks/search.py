"""The highest step of a ladder that somebody sustains, found with few questions."""

from collections.abc import Callable

from benchmarks.case import Sample
from benchmarks.rig import Rig

_LATEST = 50.0  # milliseconds that p99 may take
_TRIES = 2  # at each rate: the machine may have something else to do just then
_AT_STEP_0 = 1_000  # events a second
_STEPS = 6  # to twice the rate: one is an eighth more
_LOWEST = (
    50  # events a second, which anybody is taken to sustain: a search ends, and a ratio has no zero
)


def highest(sustains: Callable[[int], bool], start: int) -> int:
    """The highest step that is sustained, if all below it are and none above.

    From `start` it goes in strides that double, up or down, then halves the last one: two questions if it has `start`
    right, and few if it has it nearly right.
    """
    low, high = _bracket(sustains, start)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sustains(middle) else (low, middle)
    return low


def _bracket(sustains: Callable[[int], bool], start: int) -> tuple[int, int]:
    """A step that is sustained, and a higher one that is not."""
    stride, at = 1, start
    if sustains(start):
        while sustains(at + stride):
            at, stride = at + stride, 2 * stride
        return at, at + stride
    while not sustains(at - stride):
        at, stride = at - stride, 2 * stride
    return at - stride, at


class HighestRate:
    """Of one contender, end to end in one process with p99 under 50 ms; each round begins where the last one ended."""

    def __init__(self, rig: Rig, peer: str, seconds: float) -> None:
        self._rig, self._peer, self._seconds = rig, peer, seconds
        self._step = 0

    def __call__(self) -> Sample:
        """Events a second, to an eighth; about 50 if it sustains nothing."""
        self._step = highest(self._sustains, self._step)
        return {"rate": _rate(self._step)}

    def _sustains(self, step: int) -> bool:
        rate = _rate(step)
        if rate <= _LOWEST:
            return True
        runs = (
            self._rig.act(self._peer, "end_to_end", rate=rate, seconds=self._seconds)
            for _ in range(_TRIES)
        )
        return any(run["p99_ms"] < _LATEST for run in runs)


def _rate(step: int) -> int:
    return round(_AT_STEP_0 * 2 ** (step / _STEPS))
