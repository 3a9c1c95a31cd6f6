"""`python -m tests.support.contract` prints which rule runs on which backend, as docs/pools.md shows it."""

from tests.support.contract.table import table

print(table())
