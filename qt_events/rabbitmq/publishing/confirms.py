"""Which publishes the broker has not confirmed yet. Pure bookkeeping, no I/O."""

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class UnconfirmedPublishes(Generic[T]):
    """Delivery tags of one channel: 1, 2, 3, ... in the order of publishing (RabbitMQ, Publisher Confirms)."""

    def __init__(self) -> None:
        self._last = 0
        self._open: dict[int, T] = {}  # in order of tags

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[T]:
        """What is unconfirmed, in the order it was published."""
        return iter(tuple(self._open.values()))

    def add(self, item: T) -> int:
        """Note a publish; its tag."""
        self._last += 1
        self._open[self._last] = item
        return self._last

    def settle(self, tag: int, *, multiple: bool = False) -> list[T]:
        """What an ack or nack of `tag` is about, `multiple`: all up to it. Unknown tags are about nothing."""
        if not multiple:
            item = self._open.pop(tag, None)
            return [] if item is None else [item]
        tags = []
        for open_tag in self._open:
            if open_tag > tag:
                break
            tags.append(open_tag)
        return [self._open.pop(open_tag) for open_tag in tags]
