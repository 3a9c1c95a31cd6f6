"""Size: number of events and seconds of a run."""

from dataclasses import dataclass

# Events; a run of fewer is over before it can be measured.
_FEWEST = 2_000
_SHORTEST = 2.0


@dataclass(frozen=True)
class Size:
    """Length of runs in proportion to `scale`."""

    scale: float = 1.0

    def events(self, count: int) -> int:
        """Return `count` times the scale; never fewer than 2,000, unless `count` is."""
        return max(min(count, _FEWEST), int(count * self.scale))

    def seconds(self, seconds: float) -> float:
        """Return `seconds` times the scale; never fewer than two."""
        return max(_SHORTEST, seconds * self.scale)
