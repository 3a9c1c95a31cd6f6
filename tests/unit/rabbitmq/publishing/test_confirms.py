"""The ledger of unconfirmed publishes settles what the broker's acks and nacks are about, and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.rabbitmq.publishing.confirms import UnconfirmedPublishes

ADD, SETTLE = "add", "settle"
STEPS = st.lists(
    st.one_of(
        st.just((ADD,)),
        st.tuples(st.just(SETTLE), st.integers(min_value=0, max_value=30), st.booleans()),
    ),
    max_size=60,
)


@given(STEPS)
def test_ledger_agrees_with_a_plain_list_of_tags(steps: list[tuple[Any, ...]]) -> None:
    """Whatever is published, taken back and settled in whatever order, a list of (tag, item) pairs says the same."""
    ledger: UnconfirmedPublishes[int] = UnconfirmedPublishes()
    model: list[tuple[int, int]] = []
    tag = 0
    for number, (step, *arguments) in enumerate(steps):
        if step == ADD:
            tag += 1
            model.append((tag, number))
            assert ledger.add(number) == tag
        elif step == SETTLE:
            about, multiple = arguments
            settled = [pair for pair in model if pair[0] == about or (multiple and pair[0] < about)]
            model = [pair for pair in model if pair not in settled]
            assert ledger.settle(about, multiple=multiple) == [item for _, item in settled]
        assert list(ledger) == [item for _, item in model]
        assert len(ledger) == len(model)


@pytest.mark.parametrize("multiple", [False, True])
def test_a_tag_is_settled_once(multiple: bool) -> None:
    """A second ack of a tag is about nothing: it may be a stale one."""
    ledger: UnconfirmedPublishes[str] = UnconfirmedPublishes()
    ledger.add("event")
    assert ledger.settle(1, multiple=multiple) == ["event"]
    assert ledger.settle(1, multiple=multiple) == []


def test_iterating_bears_settling_meanwhile() -> None:
    """Whoever looks at the unconfirmed may settle them."""
    ledger: UnconfirmedPublishes[int] = UnconfirmedPublishes()
    for number in range(3):
        ledger.add(number)
    for number in ledger:
        ledger.settle(number + 1)
    assert len(ledger) == 0
