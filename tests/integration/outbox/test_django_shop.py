"""Django's `transaction.atomic`: rows and events are committed together, or not at all."""

import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from tests.support.shop import orders, rows

SHOP = Path(__file__).parents[1] / "apps" / "django_shop.py"


def test_a_site_s_rows_and_events_are_one(
    url: str, engine: sa.Engine, tmp_path: Path, postgres_url: str
) -> None:
    """Blocks that are left by an error, inner ones too, add nothing; mistakes are named."""
    other = postgres_url if engine.dialect.name == "sqlite" else f"sqlite:///{tmp_path}/other.db"
    command = [sys.executable, str(SHOP), url, other]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    outside, wrong = done.stdout.splitlines()
    assert "within `transaction.atomic()`" in outside
    assert f"a connection to {engine.dialect.name}" in wrong
    assert orders(engine) == rows(engine) == ["1", "3"]
