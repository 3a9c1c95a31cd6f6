"""`python -m qt_events.testing.contract` prints which rule runs on which backend, as docs/pools.md shows it."""

from qt_events.testing.contract.table import table

print(table())
