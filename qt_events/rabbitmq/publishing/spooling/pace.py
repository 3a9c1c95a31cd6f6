"""Pace: how many events may be written to a spool that is being emptied. No I/O."""

MOST = 1_000  #: events of one transaction
#: Events that are written each PAUSE seconds, however few are sent meanwhile.
LEAST = 50
PAUSE = 0.2  #: seconds


class Pace:
    """Number of events that may be written now.

    A spool is left only when it is empty. So half as many are written as are sent, and none once
    the last ones are on their way: those go to the broker when these are confirmed. If these are
    held up, there is nothing to wait for.
    """

    def __init__(self) -> None:
        self._sent = 0.0  # events that may be written for those that were sent
        self._written_at = 0.0

    def allowed(
        self, now: float, *, is_away: bool, sent: int, all_on_their_way: bool, held_up: bool
    ) -> int:
        """Return the number for one transaction.

        Args:
            now: by time.monotonic().
            is_away: the broker takes nothing.
            sent: events that it has confirmed since the last call.
            all_on_their_way: nothing is in the spool that was not sent.
            held_up: something that was sent is not confirmed for a while.
        """
        if is_away or (all_on_their_way and held_up):
            self._sent = 0.0
            return MOST
        if all_on_their_way:
            return 0
        self._sent = min(self._sent + sent / 2, MOST)
        if now - self._written_at >= PAUSE:
            self._sent = max(self._sent, LEAST)
        return int(self._sent)

    def wrote(self, count: int, now: float) -> None:
        """Note a transaction."""
        self._sent = max(0.0, self._sent - count)
        self._written_at = now
