"""Error of a contender that did not finish."""


class BenchmarkFailedError(Exception):
    """A contender did not finish; the text names it and ends with the last of its output."""
