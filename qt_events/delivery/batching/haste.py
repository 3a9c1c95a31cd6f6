"""Haste: reasons of one bus to wait for no further events of a batch."""

from collections.abc import Callable
from weakref import WeakMethod


class Haste:
    """Tells the batch lanes of a bus whether a list that is not full is due. For any thread.

    It is while somebody waits for room on the bus, who could fill it, and once the bus is being
    left.
    """

    def __init__(self) -> None:
        #: Tells whether somebody waits for room.
        self.is_full: Callable[[], bool] = lambda: False
        #: Nobody is expected to publish any more.
        self.is_leaving = False
        # Never changed in place: other threads look through it.
        self._lanes: tuple[WeakMethod[Callable[[], None]], ...] = ()

    @property
    def is_on(self) -> bool:
        """True while no list waits."""
        return self.is_leaving or self.is_full()

    def follow(self, look: Callable[[], None]) -> None:
        """Have a lane's method called whenever it may have become true."""
        self._lanes = (*(each for each in self._lanes if each() is not None), WeakMethod(look))

    def tell(self) -> None:
        """Have all lanes look."""
        for each in self._lanes:
            if (look := each()) is not None:
                look()

    def leave(self) -> None:
        """Have no list wait from now on: the bus is being left."""
        self.is_leaving = True
        self.tell()
