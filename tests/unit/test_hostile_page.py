"""docs/hostile-messages.md tells what the tests show."""

from pathlib import Path

from tests.integration.hostile_cases import table

PAGE = Path(__file__).parents[2] / "docs" / "hostile-messages.md"


def test_the_page_has_the_table_of_the_cases() -> None:
    """Each with its outcome, as it is tested."""
    assert table() in PAGE.read_text()
