"""Laws of the store: `put` keeps the last value, `add` the first, and ranges have the documented
ends."""

import asyncio
from collections.abc import Iterator
from datetime import date, timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qt_events import Side
from workers.store import Store, Trade

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)
VALUES = st.dictionaries(
    st.text(max_size=3), st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
DAYS = st.integers(0, 9).map(lambda number: date(2024, 1, 1) + timedelta(number))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all examples: each example has a kind or a book of its own."""
    opened = Store(f"sqlite:///{tmp_path_factory.mktemp('laws')}/store.db")
    yield opened
    opened.dispose()


@settings(deadline=None, max_examples=40)
@given(words=st.lists(st.tuples(st.booleans(), KEYS, VALUES), max_size=12))
def test_put_is_the_last_word_and_add_the_first(
    store: Store, words: list[tuple[bool, str, dict[str, float]]]
) -> None:
    """A dictionary does the same by assignment and setdefault."""
    kind, expected = uuid4().hex, dict[str, dict[str, float]]()

    async def say() -> None:
        for puts, key, value in words:
            if puts:
                expected[key] = value
                await store.documents.put(kind, key, value)
            else:
                is_new = key not in expected
                expected.setdefault(key, value)
                assert await store.documents.add(kind, key, value) is is_new
        assert await store.documents.all(kind) == expected
        assert list(await store.documents.all(kind)) == sorted(expected)
        assert await store.documents.count(kind) == len(expected)

    asyncio.run(say())


@settings(deadline=None, max_examples=40)
@given(days=st.lists(DAYS, max_size=8), after=st.none() | DAYS, through=DAYS)
def test_between_is_later_than_one_day_and_no_later_than_another(
    store: Store, days: list[date], after: date | None, through: date
) -> None:
    """Either end may come first; results are sorted by day and order id."""
    book = uuid4().hex
    kept = [
        Trade(str(number), day, "A", Side.BUY, 1, 1.0, "s", "m", None)
        for number, day in enumerate(days)
    ]
    expected = sorted(
        each for each in kept if (after is None or each.day > after) and each.day <= through
    )

    async def enter() -> None:
        for each in kept:
            await store.trades.add(book, each)
        found = await store.trades.between(book, after, through)
        assert found == sorted(expected, key=lambda each: (each.day, each.order_id))

    asyncio.run(enter())
