"""docs/pools.md shows what the code says."""

import re
from pathlib import Path

from qt_events.rabbitmq import remote_control
from tests.support.contract import table

PAGE = (Path(__file__).parents[2] / "docs" / "pools.md").read_text()


def shown(what: str) -> str:
    found = re.search(rf"<!-- {what}: made by .*? -->\n\n(.*?)\n\n<!-- end -->", PAGE, re.DOTALL)
    assert found, what
    return found[1]


def test_the_contract_table_is_that_of_the_suite() -> None:
    """`python -m tests.support.contract` prints it."""
    assert shown("contract") == table.table()


def test_the_remote_control_table_is_that_of_the_code() -> None:
    """The commands that are refused are refused by the same table."""
    assert shown("remote control") == remote_control.table()
