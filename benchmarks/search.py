"""Search for the highest step of a ladder that a contender sustains, with few questions."""

from collections.abc import Callable

from benchmarks.case import Sample
from benchmarks.rig import Rig

# Milliseconds that p99 may take.
_LATEST = 50.0
# Tries at each rate, because other work on the machine may spoil one.
_TRIES = 2
# Events a second at step 0.
_AT_STEP_0 = 1_000
# Steps to twice the rate: one step is an eighth more.
_STEPS = 6
# Events a second that every contender is assumed to sustain, so that a search ends and no ratio
# divides by zero.
_LOWEST = 50


def highest(sustains: Callable[[int], bool], start: int) -> int:
    """Return the highest sustained step, if all steps below it are sustained and none above.

    The search goes from `start` in strides that double, up or down, then halves the last stride. It
    asks twice if `start` is right, and only a few times if it is nearly right.
    """
    low, high = _bracket(sustains, start)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sustains(middle) else (low, middle)
    return low


def _bracket(sustains: Callable[[int], bool], start: int) -> tuple[int, int]:
    """Return a sustained step and a higher one that is not sustained."""
    stride, at = 1, start
    if sustains(start):
        while sustains(at + stride):
            at, stride = at + stride, 2 * stride
        return at, at + stride
    while not sustains(at - stride):
        at, stride = at - stride, 2 * stride
    return at - stride, at


class HighestRate:
    """Highest rate of one contender, end to end in one process with p99 under 50 ms.

    Each round begins where the last one ended.
    """

    def __init__(self, rig: Rig, peer: str, seconds: float) -> None:
        self._rig, self._peer, self._seconds = rig, peer, seconds
        self._step = 0

    def __call__(self) -> Sample:
        """Return events a second, to an eighth; about 50 if nothing is sustained."""
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
