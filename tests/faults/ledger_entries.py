"""LedgerEntries: the ledger of a running test."""

from collections import defaultdict

from qt_events.testing.ledger import Entry, Kind
from qt_events.testing.ledger.entries import Reader
from tests.faults.rig import Rig


class LedgerEntries:
    """Entries of a ledger, read as it grows."""

    def __init__(self, rig: Rig) -> None:
        self._entries: defaultdict[Kind, list[Entry]] = defaultdict(list)
        self._reader = Reader(rig.ledger.folder)

    def of(self, kind: Kind) -> list[Entry]:
        """Return the entries of this kind so far."""
        for entry in self._reader.read():
            self._entries[entry.kind].append(entry)
        return self._entries[kind]

    def times_to_failure(self) -> list[float]:
        """Return the seconds that each failed publish took."""
        begun = {entry.id: entry.at for entry in self.of(Kind.ATTEMPTED)}
        return [entry.at - begun[entry.id] for entry in self.of(Kind.FAILED)]
