"""Tests of until_available, which repeats while the database is away, up to its timeout."""

import pytest

from workers.store import StoreUnavailableError, retry
from workers.store.retry import until_available


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSE", 0.001)


async def test_it_asks_until_there_is_an_answer() -> None:
    answers = [StoreUnavailableError("away"), StoreUnavailableError("away"), None]

    async def ask() -> str:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return "here"

    assert await until_available(ask, 60) == "here"


async def test_at_last_it_gives_up() -> None:
    """The error is the database's own."""

    async def ask() -> None:
        raise StoreUnavailableError("away")

    with pytest.raises(StoreUnavailableError, match="away"):
        await until_available(ask, 0.01)


async def test_another_error_is_nobodys_to_wait_out() -> None:
    """Another attempt would fail as well."""

    async def ask() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await until_available(ask, 60)
