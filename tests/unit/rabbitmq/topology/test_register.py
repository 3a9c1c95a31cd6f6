"""Register: owners, bindings made and removed, and two copies that become one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.rabbitmq.topology import register as module
from qt_events.rabbitmq.topology.ownership import Claim, claim
from qt_events.rabbitmq.topology.register import Entry, Mark, Owner, Register, is_covered

DESK = Owner("desk", "desk.orders:on_order")
SHOP = Owner("shop", "shop.orders:on_order")


def entry(*bound: str, unbound: tuple[str, ...] = ()) -> Entry:
    made = Entry()
    for pattern in bound:
        made.mark(pattern, bound=True)
    for pattern in unbound:
        made.mark(pattern, bound=False)
    return made


def test_an_event_came_by_a_removed_binding_if_no_other_brings_it() -> None:
    """A pattern that nobody has written down is unknown, and unknown is not unwanted."""
    found = entry("order.*", unbound=("trade.#", "order.made"))
    assert found.has_unbound("trade.done")
    assert not found.has_unbound("order.made")
    assert not found.has_unbound("bell.rung")
    assert not Entry().has_unbound("bell.rung")


def test_a_quarantine_is_there_unless_the_register_says_that_there_is_none() -> None:
    """A release that does not know that has made one for each subscription."""
    register = Register({"a": Entry(), "b": Entry(quarantine=True)})
    assert Register.decode(register.encode()) == register
    before = json.loads(register.encode())
    del before["younger"]
    for each in before["subscriptions"].values():
        del each["quarantine"]
    read = Register.decode(json.dumps(before).encode())
    assert read.is_younger
    assert all(each.quarantine for each in read.entries.values())


def test_a_pattern_that_is_bound_again_is_unbound_no_more() -> None:
    """The last word counts, whatever the clocks say; a word that changes nothing is none."""
    found = entry("a")
    assert found.mark("a", bound=False)
    assert not found.mark("a", bound=False)
    assert found.mark("a", bound=True)
    assert (found.bound, found.unbound) == (["a"], [])
    ahead = Entry(patterns={"a": Mark(2**60, bound=False)})
    ahead.mark("a", bound=True)
    assert ahead.patterns["a"] == Mark(2**60 + 1, bound=True)


def test_what_a_program_makes_without_end_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest removed patterns go, and no bound one: their events are given back, not taken."""
    monkeypatch.setattr(module, "MOST", 3)
    found = entry("kept", unbound=("1", "2", "3", "4"))
    assert (found.bound, found.unbound) == (["kept"], ["2", "3", "4"])
    for number in range(5):
        found.add_owner(Owner("desk", f"handler {number}"))
    assert len(found.owners) == 3


def test_two_copies_become_one() -> None:
    """Owners add up within a term, the later change of a pattern counts, and nothing is lost."""
    one, other = Register(), Register()
    one.of("a").add_owner(DESK)
    one.of("a").mark("x", bound=True)
    other.of("a").add_owner(SHOP)
    other.of("a").patterns["x"] = Mark(one.of("a").patterns["x"].changed + 1, bound=False)
    other.of("b").mark("y", bound=True)
    one.merge(other)
    assert one.of("a").owners.keys() == {DESK, SHOP}
    assert (one.of("a").unbound, one.of("b").bound) == (["x"], ["y"])
    other.of("a").hand_over(SHOP)
    one.merge(other)
    assert one.of("a").owners.keys() == {SHOP}


names = st.sampled_from(["a", "b"])
marks = st.builds(Mark, st.integers(0, 3), st.booleans())
entries = st.builds(
    Entry,
    st.dictionaries(st.sampled_from([DESK, SHOP]), st.just(1)),
    st.integers(0, 2),
    st.dictionaries(names, marks),
)
registers = st.builds(Register, st.dictionaries(names, entries))


def copy(register: Register) -> Register:
    return Register.decode(register.encode())


def test_two_spellings_of_a_former_release_are_one_pattern() -> None:
    """The later word on either holds."""
    register = Register()
    register.of("a").patterns = {"#.*": Mark(1, bound=True), "*.#": Mark(2, bound=False)}
    assert copy(register).of("a").patterns == {"*.#": Mark(2, bound=False)}


@given(registers, registers)
def test_merging_needs_no_order_and_may_be_repeated(one: Register, other: Register) -> None:
    """Whoever comes first, and however often: the same register."""
    left, right = copy(one), copy(other)
    left.merge(copy(other))
    right.merge(copy(one))
    assert left == right
    left.merge(copy(other))
    left.merge(copy(one))
    assert left == right


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", b"[]", b"7", b'{"subscriptions": []}', b'{"subscriptions": {"a": {}}}',
        b'{"subscriptions": {"a": {"owners": [[1]], "term": 0, "patterns": {}}}}',
        b'{"subscriptions": {"a": {"owners": [], "term": "x", "patterns": {}}}}',
        b'{"subscriptions": {"a": {"owners": [], "term": 1e999, "patterns": {}}}}',
        b'{"subscriptions": {"a": {"owners": [], "term": 0, "patterns": {"x": 5}}}}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_register_is_a_value_error(body: bytes) -> None:
    """Somebody else's bytes are never believed, and break nothing."""
    with pytest.raises(ValueError, match=r".*"):
        Register.decode(body)


@pytest.mark.parametrize(
    ("pattern", "by", "covered"),
    [
        ("a.b", ["a.*"], True),
        ("a.b", ["a.b"], True),
        ("a.b", ["#"], True),
        ("a.*", ["a.#"], True),
        ("a.*", ["a.b"], False),
        ("*.b", ["a.b", "a.*"], False),
        ("a.#", ["a.*"], False),
        ("a.#", ["a.#"], True),
        ("a.b.#", ["a.#"], True),
        ("a.#", ["a.*.#"], False),
        ("#", ["a.#", "*"], False),
        ("#", ["#"], True),
        ("a.b", [], False),
    ],
)
def test_a_pattern_is_covered_by_a_wider_one(pattern: str, by: list[str], covered: bool) -> None:
    """Whoever dropped `order.made` for `order.*` misses nothing, and needs no warning."""
    assert is_covered(pattern, by) is covered


OWN, DOUBTFUL, FOREIGN = Claim.OWN, Claim.DOUBTFUL, Claim.FOREIGN


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        ([], OWN),
        ([DESK], OWN),
        ([SHOP, DESK], OWN),
        ([SHOP], FOREIGN),
        ([SHOP, Owner("bank", "x:y")], FOREIGN),
        ([Owner("desk", "desk.sales:on_order")], DOUBTFUL),
        ([SHOP, Owner("desk", "desk.sales:on_order")], DOUBTFUL),
        ([Owner("shop", DESK.handler)], DOUBTFUL),
        ([Owner("", SHOP.handler)], DOUBTFUL),
        ([Owner("", DESK.handler)], OWN),
    ],
)
def test_a_second_owner_is_an_error_where_it_is_certain(
    owners: list[Owner], expected: Claim
) -> None:
    """Another service and another handler; a rename, a move or no service may be the same."""
    assert claim(DESK, owners) is expected
