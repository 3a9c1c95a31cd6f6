"""Tables on docs/pools.md are those that the code makes."""

import re
from pathlib import Path

from qt_events.rabbitmq.worker import remote_control
from tests.support.contract import table

PAGE = (Path(__file__).parents[2] / "docs" / "pools.md").read_text()


def read_table(what: str) -> str:
    found = re.search(rf"<!-- {what}: made by .*? -->\n\n(.*?)\n\n<!-- end -->", PAGE, re.DOTALL)
    assert found, what
    return found[1]


def test_the_contract_table_is_that_of_the_suite() -> None:
    """The page has what `python -m tests.support.contract` prints."""
    assert read_table("contract") == table.table()


def test_the_remote_control_table_is_that_of_the_code() -> None:
    """The page has the table by which the worker refuses commands."""
    assert read_table("remote control") == remote_control.table()
