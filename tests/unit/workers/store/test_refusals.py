"""Refusals of a database: each has a name and shows no password."""

import sqlite3
from pathlib import Path

import pytest

from workers.store import Database, Documents, Store, StoreError, StoreUnavailableError


@pytest.mark.parametrize("name", ["password", "sslpassword"])
async def test_a_password_in_the_query_is_never_shown(name: str) -> None:
    """libpq takes them there too."""
    database = Database(f"postgresql://127.0.0.1:1/name?user=somebody&{name}=planted")
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1") as refused:
        await Documents(database).get("kind", "key")
    assert "planted" not in f"{database} {database!r} {refused.value} {refused.value!r}"


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """Another attempt would not help, so it is no StoreUnavailableError."""
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n" * 500)
    with pytest.raises(StoreError, match=r"notes\.txt.*not a database") as refused:
        await Store(f"sqlite:///{path}").is_empty()
    assert not isinstance(refused.value, StoreUnavailableError)
    assert path.read_text() == "my notes\n" * 500


async def test_a_new_process_reads_while_another_writes(tmp_path: Path) -> None:
    """The check of the schema at the first use does not wait for the writer."""
    path = tmp_path / "store.db"
    store = Store(f"sqlite:///{path}")
    await store.documents.put("kind", "key", {"n": 1})
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    newcomer = Database(f"sqlite:///{path}", busy_timeout=0.05)
    assert await Documents(newcomer).get("kind", "key") == {"n": 1}
    writer.close()
    newcomer.dispose()
    store.dispose()
