"""docs/testing.md shows what is tested: its code stands in examples/07_testing, which tests/integration runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()
EXAMPLE = "\n".join(
    path.read_text() for path in sorted((ROOT / "examples" / "07_testing").glob("*.*"))
)
BLOCKS = re.findall(r"^```(?:python|ini)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_page_quotes_the_example(block: str) -> None:
    """Word by word."""
    assert block in EXAMPLE


def test_every_block_is_found() -> None:
    """None escapes by its form."""
    assert len(re.findall(r"^```(?:python|ini)", PAGE, re.MULTILINE)) == len(BLOCKS)


def test_every_name_on_the_page_exists() -> None:
    """What it says of assertions, fixtures and settings."""
    code = "\n".join(
        path.read_text()
        for path in (
            *(ROOT / "pytest_qt_events").glob("*.py"),
            *(ROOT / "qt_events" / "testing").glob("*.py"),
        )
    )
    names = set(
        re.findall(
            r"\b(?:assert_\w+|event_bus_\w+|rabbitmq_\w+|celery_(?:worker|app|event)_\w+)", PAGE
        )
    )
    assert {name for name in names if not re.search(rf"\b{name}\b", code)} == set()


def test_its_links_lead_somewhere() -> None:
    """From the folder it is in."""
    assert all((ROOT / "docs" / link).exists() for link in re.findall(r"\]\(([^)]+)\)", PAGE))
