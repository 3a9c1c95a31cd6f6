"""Size: how long runs are."""

from dataclasses import dataclass

_FEWEST = 2_000  # events: fewer are over before they can be measured
_SHORTEST = 2.0  # seconds


@dataclass(frozen=True)
class Size:
    """In proportion to `scale`."""

    scale: float = 1.0

    def events(self, count: int) -> int:
        """So many at scale 1; never fewer than 2,000, unless `count` is."""
        return max(min(count, _FEWEST), int(count * self.scale))

    def seconds(self, seconds: float) -> float:
        """So many at scale 1; never fewer than two."""
        return max(_SHORTEST, seconds * self.scale)
