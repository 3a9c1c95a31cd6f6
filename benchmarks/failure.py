"""What a contender that does not get through is told with."""


class BenchmarkFailedError(Exception):
    """A contender did not get through; the text says which, and how what it said ended."""
