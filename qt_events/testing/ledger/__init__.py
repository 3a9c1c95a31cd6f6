"""A ledger of events: attempts, confirms and outcomes while things broke, and their account.

Jepsen tests queues like this (its checker `total-queue`): publishers note each attempt and its
answer, handlers note what they handled, in files that survive a kill. Afterwards every delivery is
ok, lost, duplicated, unexpected or recovered. Point it at a fleet of your own: `Ledger.keeping`
wraps its handlers, `Load` publishes, `account` judges.

entries.py  a line of the ledger, and the files it stands in
totals.py   entries added up as they come; pure
account.py  the result: figures by fault, and a verdict
ledger.py   notes of publishers and handlers, and the result
load.py     numbered events, so many in flight
"""

import warnings
from typing import TYPE_CHECKING, Any

from qt_events.testing.ledger.account import Account, Line
from qt_events.testing.ledger.entries import Entry, Kind
from qt_events.testing.ledger.ledger import FOLDER, Ledger
from qt_events.testing.ledger.load import Load
from qt_events.testing.ledger.totals import Totals

__all__ = ["FOLDER", "Account", "Entry", "Kind", "Ledger", "Line", "Load", "Totals"]

# Hidden from type checkers, which would take every name for granted.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return Totals for its old name, with a DeprecationWarning."""
        if name == "Tally":
            message = "qt_events.testing.ledger.Tally is deprecated: it is called Totals now"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return Totals
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
