"""Engines: which URLs are of one database."""

import pytest
import sqlalchemy as sa

from qt_events.outbox.engines import place_of


@pytest.mark.parametrize(("one", "other"), [
    ("postgresql+psycopg://a:b@host/shop", "postgresql+asyncpg://c@host:5432/shop?ssl=1"),
    ("sqlite:////tmp/shop.db", "sqlite+aiosqlite:////tmp/../tmp/shop.db"),
    ("sqlite:////tmp/shop.db", "sqlite:///file:/tmp/shop.db?uri=true"),
])  # fmt: skip
def test_drivers_and_logins_make_no_difference(one: str, other: str) -> None:
    assert place_of(sa.make_url(one)) == place_of(sa.make_url(other))


@pytest.mark.parametrize(("one", "other"), [
    ("postgresql://host/shop", "postgresql://host/other"),
    ("postgresql://host/shop", "postgresql://elsewhere/shop"),
    ("postgresql://host/shop", "postgresql://host:5433/shop"),
    ("sqlite:////tmp/shop.db", "sqlite:////tmp/other.db"),
])  # fmt: skip
def test_other_databases_are_others(one: str, other: str) -> None:
    assert place_of(sa.make_url(one)) != place_of(sa.make_url(other))
