"""FeedReport: what `qt-events feed` prints where there is no terminal: some of the days, then what they came to."""

import re
from collections.abc import Iterable

_DAY = re.compile(r"\d{4}-\d\d-\d\d  day (\d+)/(\d+)  ")  # as workers.replay.live.line begins: a test compares them


class FeedReport:
    """One run of the feed, as far as its lines have been heard."""

    def __init__(self) -> None:
        self.day = ""  #: the last line on a day
        self._over = False  # the last day has come
        self._rest: list[str] = []

    def hear(self, lines: Iterable[str]) -> None:
        """The next lines."""
        for line in lines:
            if found := _DAY.match(line):
                self.day, self._over = line, found[1] == found[2]
            elif self._over:
                self._rest.append(line)

    @property
    def result(self) -> str:
        """What came after the last day."""
        return "\n".join(self._rest)
