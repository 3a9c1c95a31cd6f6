"""A conversation as a tree: by causes alone, whatever producers have written."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from qt_events.events.raw import RawEvent
from qt_events.history.conversations.drawing import Line, mermaid, tree
from qt_events.history.conversations.trace import (
    CIRCLE,
    NOT_RECORDED,
    OWN_CAUSE,
    Conversation,
    conversation_of,
)
from qt_events.history.store import StoredEvent
from tests.support import conversations
from tests.support.stored import NOON, fate, raw


def of(*pairs: tuple[str, str | None]) -> Conversation:
    """Return the conversation of events by id and cause, in the order of recording."""
    events = [raw(own, correlation_id="c", causation_id=cause) for own, cause in pairs]
    return conversation_of("c", stored(events), [])


def stored(events: Sequence[RawEvent]) -> list[StoredEvent]:
    return [StoredEvent(n, NOON, each) for n, each in enumerate(events, 1)]


def shape(found: Conversation) -> list[tuple[int, str, str]]:
    return [(each.depth, each.id, each.note) for each in found.steps]


def test_consequences_stand_below_their_cause_in_the_order_of_recording() -> None:
    found = of(("4", "2"), ("1", None), ("3", "1"), ("2", "1"))
    assert shape(found) == [(0, "1", ""), (1, "3", ""), (1, "2", ""), (2, "4", "")]
    assert [each.cause for each in found.steps] == [None, 0, 0, 2]
    assert [each.is_last for each in found.steps] == [True, False, True, True]


def test_a_cause_that_is_not_recorded_has_a_place() -> None:
    found = of(("1", None), ("2", "gone"), ("3", "gone"))
    assert shape(found) == [(0, "1", ""), (0, "gone", NOT_RECORDED), (1, "2", ""), (1, "3", "")]
    assert found.events == 3


def test_circles_and_own_causes_are_cut_and_said() -> None:
    found = of(("1", "1"), ("5", "3"), ("2", "4"), ("3", "2"), ("4", "3"))
    assert shape(found) == [
        (0, "1", OWN_CAUSE), (0, "2", CIRCLE), (1, "3", ""), (2, "5", ""), (2, "4", ""),
    ]  # fmt: skip


def test_a_cause_with_the_id_of_two_events_is_not_guessed() -> None:
    events = [raw("1"), raw("1", source="elsewhere"), raw("2", causation_id="1")]
    found = conversation_of("1", stored(events), [fate("1"), fate("1", "audit")])
    assert shape(found)[2:] == [(0, "1", "one of 2 events with this id"), (1, "2", "")]
    assert [len(each.stories) for each in found.steps] == [2, 0, 0, 0]


IDS = st.sampled_from("abcdef")


@given(st.lists(st.tuples(IDS, st.none() | IDS, st.sampled_from("xy"))))
def test_every_event_has_one_place_below_its_cause(rows: list[tuple[str, str | None, str]]) -> None:
    unique = {(row[0], row[2]): row for row in rows}.values()
    events = stored([raw(row[0], causation_id=row[1], source=row[2]) for row in unique])
    steps = conversation_of("c", events, []).steps
    assert sorted(each.stored.sequence for each in steps if each.stored) == [
        each.sequence for each in events
    ]
    for place, step in enumerate(steps):
        if step.cause is None:
            assert step.depth == 0
            continue
        assert step.cause < place
        assert step.depth == steps[step.cause].depth + 1
        assert step.stored is not None
        assert step.stored.event.causation_id == steps[step.cause].id


def test_a_long_chain_is_drawn_to_its_end() -> None:
    """No limit of fifty, none of recursion, and lines that do not grow with the depth."""
    pairs = [(str(n), str(n - 1) if n else None) for n in range(5_000)]
    lines = list(tree(of(*pairs), NOON))
    assert lines[-2].text.startswith("trade.executed  4999 ")
    assert lines[-2].guide.startswith("(4978 more) ")
    assert max(len(each.guide) for each in lines) < 100


def drawn(found: Conversation) -> list[str]:
    return [each.guide + each.text for each in tree(found, NOON)]


def test_a_tree_shows_subscriptions_attempts_and_waits() -> None:
    events = stored(conversations.events())
    assert drawn(conversation_of("quote-1", events, conversations.fates())) == [
        "quote.received  quote-1  12:00:00.000  from tests",
        "│  strategy handled it in 250 ms",
        "└─ signal.raised  signal-1  12:00:01.000  from tests",
        "   │  router handled it at attempt 2 in 250 ms",
        "   │     1  12:00:00  retried in 250 ms (TimeoutError: no answer); waits 5 s",
        "   │     2  12:00:05  done in 250 ms",
        "   └─ order.placed  order-1  12:00:03.000  from tests",
        "      │  audit made it a dead letter at 12:00:00 (exhausted: no room)",
        "      │  exchange handled it in 250 ms",
        "      └─ trade.executed  trade-1  11:00:00.000  from tests",
        "            ledger handled it in 250 ms",
        "            reports handled it in 250 ms",
        "            risk_guard waits for attempt 3 until 12:04:10",
        "               1  12:00:00  retried in 250 ms (TimeoutError: no answer); waits 5 s",
        "               2  12:00:06  retried in 250 ms (TimeoutError: no answer); waits 4 min 4 s",
        "            webhook filtered it out",
    ]


def test_a_tree_of_several_processes_says_which_one_made_each_attempt() -> None:
    """As a fleet has it; the tree of one process does not repeat its name."""
    events = stored(conversations.events()[:1] + conversations.events()[2:3])
    quote, failed, done = conversations.fates()[:3]
    told = [quote, failed, done._replace(worker="host:2")]
    assert drawn(conversation_of("quote-1", events, told)) == [
        "quote.received  quote-1  12:00:00.000  from tests",
        "│  strategy handled it in 250 ms  host:1",
        "└─ signal.raised  signal-1  12:00:01.000  from tests",
        "      router handled it at attempt 2 in 250 ms  host:2",
        "         1  12:00:00  retried in 250 ms (TimeoutError: no answer); waits 5 s  host:1",
        "         2  12:00:05  done in 250 ms  host:2",
    ]


def test_a_tree_shows_what_is_not_known() -> None:
    assert drawn(of(("1", "gone"), ("2", "2"))) == [
        f"gone  ({NOT_RECORDED})",
        "└─ trade.executed  1  12:00:00.000  from tests",
        "      no fate was told of it: unknown",
        "trade.executed  2  12:00:00.000  from tests",
        f"   it {OWN_CAUSE}",
        "   no fate was told of it: unknown",
    ]


HOSTILE = '\x1b[31m"]\n-->`<script>#;\u202e\ud800' + "x" * 4096


def hostile() -> Conversation:
    event = raw(HOSTILE, HOSTILE, source=HOSTILE, causation_id=HOSTILE + "2")
    texts = {"reason": HOSTILE, "message": HOSTILE, "event_source": HOSTILE}
    told = fate(HOSTILE, HOSTILE, outcome=HOSTILE, delay=float("inf"), seconds=1e300, **texts)
    return conversation_of("c", stored([event]), [told, told])


def test_hostile_texts_are_drawn_in_one_short_line_each() -> None:
    lines = list(tree(hostile(), NOON))
    assert [each.kind for each in lines] == ["missing", "event", "subscription", *["attempt"] * 2]
    for each in lines:
        assert isinstance(each, Line)
        assert each.text.isprintable()
        assert len(each.text) < 2_000


def test_hostile_texts_are_no_markup_of_mermaid() -> None:
    for line in list(mermaid(hostile(), NOON))[1:3]:
        assert line.isprintable()
        label = line.partition('["')[2].rpartition('"]')[0].replace("<br>", "")
        assert not set(label) & set('"<>[]`')


def test_a_flowchart_of_mermaid() -> None:
    found = conversation_of("c", stored([raw("1"), raw("2", causation_id="1")]), [fate("1")])
    assert list(mermaid(found, NOON)) == [
        "flowchart TD",
        '    e0["trade.executed<br>1<br>risk_guard handled it in 250 ms"]',
        '    e1["trade.executed<br>2<br>no fate was told of it: unknown"]',
        "    e0 --> e1",
        "    classDef missing stroke-dasharray: 4",
    ]
