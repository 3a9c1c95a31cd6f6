"""Maps in packages: the docstring of a package lists every file of its folder and nothing else."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAPPED = sorted(
    path.parent
    for place in ("qt_events", "workers", "tests/support")
    for path in (ROOT / place).rglob("__init__.py")
    # Alembic gives these files their names.
    if "migrations" not in path.parts
)


def there(folder: Path) -> set[str]:
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py", "__main__.py"}
    return modules | {
        f"{path.name}/" for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"
    }


@pytest.mark.parametrize("folder", MAPPED, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_file_is_on_the_map(folder: Path) -> None:
    """The map in a package's docstring is complete, because newcomers read it first."""
    text = (folder / "__init__.py").read_text().partition('"""')[2].partition('"""')[0]
    listed = set(re.findall(r"^ *([\w/]+\.py|\w+/)  ", text, re.MULTILINE))
    assert listed - {"__main__.py"} == there(folder)
