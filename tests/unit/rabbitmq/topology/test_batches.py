"""Batches: as many declarations as the broker carries out in a second."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from qt_events.rabbitmq.topology.batches import batches


class Clock:
    """Clock that says how long each batch took."""

    def __init__(self, took: list[float]) -> None:
        self._times = self._of(took)

    def _of(self, took: list[float]) -> Iterator[float]:
        now = 0.0
        while True:
            for seconds in took or [1.0]:
                yield now
                now += seconds
                yield now

    def __call__(self) -> float:
        return next(self._times)


@given(st.integers(0, 2000), st.integers(1, 50), st.lists(st.floats(0.0, 100.0), max_size=5))
def test_everything_comes_once_and_in_order(number: int, first: int, took: list[float]) -> None:
    """However long the broker takes, each batch holds something."""
    found = list(batches(range(number), first, Clock(took)))
    assert [each for batch in found for each in batch] == list(range(number))
    assert all(found)


def test_a_batch_takes_about_a_second() -> None:
    """An answer is awaited for ten. A fast broker gets larger ones, a slow one smaller ones."""
    sizes = [len(each) for each in batches(range(1000), 20, Clock([0.5, 0.01, 4.0, 4.0]))]
    assert sizes == [20, 40, 320, 80, 20, 40, 320, 80, 20, 40, 20]
