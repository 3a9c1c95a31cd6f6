"""EventFilter: times that mean something."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from qt_events.errors import InvalidOptionError
from qt_events.history import EventFilter
from tests.support.stored import NOON, raw


@pytest.mark.parametrize("time", [
    NOON,
    NOON.replace(tzinfo=None),
    NOON.astimezone(timezone(timedelta(hours=2))),
])  # fmt: skip
def test_a_time_means_one_moment_in_any_zone_and_without_one_utc(time: datetime) -> None:
    since, until = EventFilter(since=time), EventFilter(until=time)
    assert since == EventFilter(since=NOON)
    assert since.since is not None
    assert since.since.tzinfo is UTC
    assert [since.matches(raw()), until.matches(raw())] == [True, False]


@pytest.mark.parametrize(("times", "words"), [
    ({"since": "2h"}, "since: "),
    ({"until": 5.0}, "until: "),
    ({"since": NOON, "until": NOON - timedelta(seconds=1)}, "is before since"),
    ({"since": datetime.max.replace(tzinfo=timezone(-timedelta(hours=2)))}, "since: "),
])  # fmt: skip
def test_times_that_mean_nothing_are_named(times: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOptionError, match=words):
        EventFilter(**times)
