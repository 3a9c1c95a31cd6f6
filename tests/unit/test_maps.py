"""Maps in packages: the docstring of a package lists every file of its folder and nothing else."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "qt_events"
MAPPED = [
    ROOT,
    ROOT / "cli",
    ROOT / "rabbitmq" / "messages",
    ROOT / "rabbitmq" / "dead_letters",
    ROOT / "rabbitmq" / "app",
    ROOT / "rabbitmq" / "worker",
    ROOT / "rabbitmq" / "pools",
    ROOT / "rabbitmq" / "handling",
    ROOT / "rabbitmq" / "topology",
    ROOT / "rabbitmq" / "publishing",
    ROOT / "rabbitmq" / "compat",
    ROOT / "logs",
    ROOT / "dead_letters",
    ROOT / "delivery",
    ROOT / "events",
    ROOT / "rabbitmq",
    ROOT / "rabbitmq" / "connection",
    ROOT / "rabbitmq" / "operating",
    ROOT / "testing",
    ROOT / "testing" / "broker",
    ROOT / "testing" / "contract",
    ROOT / "testing" / "contract" / "scenarios",
    ROOT / "testing" / "ledger",
    ROOT / "testing" / "proxy",
    ROOT.parent / "tests" / "support",
    ROOT.parent / "tests" / "support" / "contract",
    ROOT.parent / "tests" / "support" / "fleet",
    ROOT.parent / "tests" / "support" / "rerun",
]


def there(folder: Path) -> set[str]:
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py", "__main__.py"}
    return modules | {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}


@pytest.mark.parametrize("folder", MAPPED, ids=lambda folder: str(folder.relative_to(ROOT.parent)))
def test_every_file_is_on_the_map(folder: Path) -> None:
    """The map in a package's docstring is complete, because newcomers read it first."""
    text = (folder / "__init__.py").read_text().partition('"""')[2].partition('"""')[0]
    assert set(re.findall(r"^ *([\w/]+\.py|\w+/)  ", text, re.MULTILINE)) == there(folder)
