"""Print the scenarios that each backend runs, as docs/pools.md shows them."""

from tests.support.contract.table import table

print(table())
