"""The table on docs/hostile-messages.md is that of the tests."""

from pathlib import Path

from tests.integration.hostile_cases import table

PAGE = Path(__file__).parents[2] / "docs" / "hostile-messages.md"


def test_the_page_has_the_table_of_the_cases() -> None:
    """Every case has its outcome there, as it is tested."""
    assert table() in PAGE.read_text()
