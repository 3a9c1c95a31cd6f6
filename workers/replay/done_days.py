"""Done days: results of a feed's days, kept in the database so that another feed can go on."""

from collections.abc import Sequence
from datetime import date

from qt_events import UsageError
from workers.events import HealthChecked, as_json
from workers.market.price_file import Close
from workers.store import Store

_KIND = "feed.day"
#: Document of a feed that has begun. Its absence beside other rows means another use.
BEGUN = "feed"


class UsedStoreError(UsageError):
    """The database holds data of another replay."""


async def keep(store: Store, result: HealthChecked) -> None:
    """Keep the result of a day that is over."""
    await store.documents.put(_KIND, result.day.isoformat(), as_json(result))


async def done_days(store: Store, market: Sequence[Close]) -> list[HealthChecked]:
    """Return the results of the days that a feed of this market has done, oldest first.

    Raises:
        UsedStoreError: it was no feed, or one of other prices.
    """
    found = (await store.documents.all(_KIND)).values()
    done = [HealthChecked.model_validate(each) for each in found]
    fed = await store.prices.between(None, date.max)
    # At most one day was begun and is not done.
    same = [tuple(each) for each in fed] == [tuple(each) for each in market[: len(fed)]]
    begun = await store.documents.get(BEGUN, "") is not None
    if not begun or not same or not len(done) <= len(fed) <= len(done) + 1:
        raise UsedStoreError(
            "the database holds data of another replay, or of other prices: give --database "
            "(QT_DATABASE_URL) an empty one, or the same --market and at least the --days of the "
            "feed that was interrupted"
        )
    return done
