"""Output of the feed where there is no terminal: some of the days, then the report."""

import re
from collections.abc import Iterable

#: Begin of a line on a day, as workers.replay.live writes it; a test compares the two.
_DAY = re.compile(r"\d{4}-\d\d-\d\d  day (\d+)/(\d+)  ")


class FeedOutput:
    """Lines that one run of the feed has printed so far."""

    def __init__(self) -> None:
        self.day = ""  #: the newest line on a day
        self.days = 0  #: that are done
        self._last_day_seen = False
        self._report: list[str] = []

    def read(self, lines: Iterable[str]) -> None:
        """Take the next lines."""
        for line in lines:
            if found := _DAY.match(line):
                self.day, self.days = line, int(found[1])
                self._last_day_seen = found[1] == found[2]
            elif self._last_day_seen:
                self._report.append(line)

    @property
    def report(self) -> str:
        """Lines after the last day."""
        return "\n".join(self._report)
