"""Shutdown: whether this process is to stop serving, and how patiently."""


class Shutdown:
    """Set from any thread, read by the worker between two steps."""

    def __init__(self) -> None:
        #: Finish what is held within the grace period, then end.
        self.wanted = False
        #: Give back at once what is being handled.
        self.hurry = False

    def forget(self) -> None:
        """Begin anew: a stop from before does not count."""
        self.wanted = self.hurry = False
