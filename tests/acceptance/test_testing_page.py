"""Code on docs/testing.md is that of examples/07_testing, which tests/integration runs."""

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
    """The block is in the example, word by word."""
    assert block in EXAMPLE


def test_every_block_is_found() -> None:
    """No block escapes the test by its form."""
    assert len(re.findall(r"^```(?:python|ini)", PAGE, re.MULTILINE)) == len(BLOCKS)


def test_every_name_on_the_page_exists() -> None:
    """Assertions, fixtures and settings that the page names are in the code."""
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
    """Links lead to files, seen from the folder of the page."""
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
    assert links
    assert all((ROOT / "docs" / link).exists() for link in links)
