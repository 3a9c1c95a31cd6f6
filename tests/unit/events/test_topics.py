"""Topic patterns: as in AMQP, and a match costs the same among many of them."""

import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.errors import InvalidPatternError
from qt_events.events.topics import (
    MAX_BYTES,
    MOST_HASHES,
    RoutingIndex,
    bindable_pattern,
    matches,
    overlap,
    spellings,
    validate_pattern,
    validate_routing_key,
)


def plainly_matches(pattern: list[str], key: list[str]) -> bool:
    """AMQP 0-9-1, 3.1.3.3, word for word."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(plainly_matches(pattern[1:], key[taken:]) for taken in range(len(key) + 1))
    return bool(key) and pattern[0] in ("*", key[0]) and plainly_matches(pattern[1:], key[1:])


def words(text: str) -> list[str]:
    return text.split(".") if text else []


def texts(alphabet: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(alphabet), max_size=6).map(".".join)


# Few words, so that they meet. The empty one and half wildcards too: any program may bind and
# publish.
patterns = texts(["a", "b", "*", "#", "", "a*"])
keys = texts(["a", "b", "", "*", "#", "a*"])

TABLE = [
    ("policy.updated", "policy.updated", True),
    ("policy.updated", "policy.updated.twice", False),
    ("policy.updated", "Policy.updated", False),
    ("policy.*", "policy.updated", True),
    ("policy.*", "policy", False),
    ("policy.*", "policy.updated.twice", False),
    ("*.updated", "policy.updated", True),
    ("policy.#", "policy", True),
    ("policy.#", "policy.updated.twice", True),
    ("policy.#", "policyholder", False),
    ("#.updated", "updated", True),
    ("#.updated", "model.updated.again", False),
    ("a.#.b", "a.b", True),
    ("a.#.b", "a.b.x.b", True),
    ("a.#.b", "a", False),
    ("#.#", "a", True),
    ("*.#", "a", True),
    ("#.*", "", False),
    ("#", "", True),
    ("*", "", False),
    ("", "", True),
    ("", ".", False),
    ("*.*", ".", True),
    ("a.*.b", "a..b", True),
    ("a.b", "a..b", False),
    ("a*", "a*", True),
    ("a*", "ab", False),
]


class Colour(StrEnum):
    RED = "colour.red"


class TestValidation:
    @pytest.mark.parametrize(
        "pattern", ["a", "policy.updated", "*", "#", "*.#.a", "prix.modifié", "order-2_x.done"]
    )
    def test_a_well_formed_pattern_is_returned(self, pattern: str) -> None:
        """A pattern of words and whole-word wildcards is fine, in any script."""
        assert pattern == validate_pattern(pattern)

    @pytest.mark.parametrize(
        ("pattern", "bound"),
        [
            ("#.#", "#"),
            ("#.*", "*.#"),
            ("a.#.*.#.*.b.*.#", "a.*.*.#.b.*.#"),
            ("*.#.a", "*.#.a"),
            ("policy.*", "policy.*"),
        ],
    )
    def test_wildcards_beside_each_other_are_bound_in_one_way(
        self, pattern: str, bound: str
    ) -> None:
        """RabbitMQ 4.3 takes two `#` in a pattern; neighbours are one."""
        assert bindable_pattern(pattern) == bound

    @given(st.lists(st.sampled_from(["a", "b", "*", "#"]), min_size=1, max_size=6), keys)
    def test_what_is_bound_matches_what_was_written(self, pattern: list[str], key: str) -> None:
        written = ".".join(pattern)
        try:
            bound = bindable_pattern(written)
        except InvalidPatternError as error:
            assert pattern.count("#") > MOST_HASHES and repr(written) in str(error)  # noqa: PT017, PT018
        else:
            assert plainly_matches(words(bound), words(key)) == plainly_matches(pattern, words(key))

    @pytest.mark.parametrize(
        ("pattern", "others"),
        [
            ("order.placed", set()),
            ("order.*", set()),
            ("*.#", {"#.*", "#.#.*", "#.*.#", "*.#.#"}),
            ("a.#.b", {"a.#.#.b"}),
            ("#.a.#", set()),
        ],
    )
    def test_a_former_release_may_have_bound_by_another_spelling(
        self, pattern: str, others: set[str]
    ) -> None:
        """Each has the same meaning, and no more `#` than RabbitMQ 4.3 takes."""
        first, *found = spellings(pattern)
        assert first == pattern
        assert set(found) == others
        assert {bindable_pattern(each) for each in found} <= {pattern}

    @pytest.mark.parametrize(
        ("pattern", "advice"),
        [
            (None, "must be a string"),
            (b"policy.updated", "must be a string"),
            ("", "an empty word"),
            (".", "an empty word"),
            ("a..b", "an empty word"),
            (".a", "an empty word"),
            ("a.", "an empty word"),
            ("pol*", "whole words"),
            ("a.##", "whole words"),
            ("*#.a", "whole words"),
            ("a\0b", "take out"),
            ("a\n", "take out"),
            ("a\ud800", "take out"),
            ("é" * 128, "has 256 bytes"),
            ("\ud800" * 1000, "has 3000 bytes"),
        ],
    )
    def test_a_malformed_pattern_is_refused(self, pattern: object, advice: str) -> None:
        """A pattern that can only be a mistake is an error with advice."""
        with pytest.raises(InvalidPatternError, match=advice):
            validate_pattern(pattern)

    @pytest.mark.parametrize(
        "type", ["*", "#", "policy.*", "policy.#", "pol*", "a.b#c", None, "", "a..b", "a" * 256]
    )
    def test_an_event_type_has_no_wildcards(self, type: object) -> None:
        """Malformed patterns are no event types either."""
        with pytest.raises(InvalidPatternError, match="no event type"):
            validate_routing_key(type)

    def test_the_longest_key_that_amqp_carries_is_fine(self) -> None:
        """255 bytes fit into a short string."""
        assert validate_routing_key("a" * MAX_BYTES) == "a" * MAX_BYTES

    def test_a_string_enum_becomes_a_plain_string(self) -> None:
        """Encoders and comparisons see just the text."""
        assert type(validate_routing_key(Colour.RED)) is str
        assert type(validate_pattern(Colour.RED)) is str

    @given(st.text(alphabet="a.é\n*#\ud800", max_size=300))
    def test_every_event_type_is_a_pattern_that_matches_itself(self, text: str) -> None:
        """Subscribing to a type by its name always works; all errors are ours."""
        try:
            type_ = validate_routing_key(text)
        except InvalidPatternError:
            return
        assert matches(validate_pattern(type_), type_)


class TestMatches:
    @pytest.mark.parametrize(("pattern", "key", "expected"), TABLE)
    def test_by_example(self, pattern: str, key: str, expected: bool) -> None:
        """`*` is one word, `#` none or more, an empty word is a word, an empty key has no word."""
        assert expected == matches(pattern, key)

    @given(patterns, keys)
    def test_like_the_definition(self, pattern: str, key: str) -> None:
        """`matches` agrees with the definition of AMQP 0-9-1, written as a recursion."""
        assert plainly_matches(words(pattern), words(key)) == matches(pattern, key)

    @pytest.mark.parametrize("index", [False, True])
    def test_many_hashes_do_not_explode(self, index: bool) -> None:
        """The longest patterns and keys take steps in proportion to their product."""
        pattern, key = ".".join(["#"] * 127 + ["a"]), ".".join(["b"] * 128)
        answer: Callable[[], object] = lambda: matches(pattern, key)  # noqa: E731
        if index:
            routing = index_of((pattern, 1))
            answer = lambda: routing.match(key)  # noqa: E731
        assert lines_run(answer) < 20 * 128 * 128


def index_of(*bindings: tuple[str, Any], **options: int) -> RoutingIndex[Any]:
    index: RoutingIndex[Any] = RoutingIndex(**options)
    for pattern, value in bindings:
        index.add(pattern, value)
    return index


def lines_run(call: Callable[[], object]) -> int:
    """Return the number of lines of Python that a call runs: its work on any machine."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


class TestRoutingIndex:
    @given(st.lists(st.tuples(patterns, st.integers(0, 5)), max_size=12), keys)
    def test_like_the_definition(self, bindings: list[tuple[str, int]], key: str) -> None:
        """The index finds the values of all matching patterns, each once, oldest first."""
        hits = [value for pattern, value in bindings if plainly_matches(words(pattern), words(key))]
        first_added = list(dict.fromkeys(value for _, value in bindings))
        assert tuple(value for value in first_added if value in hits) == index_of(*bindings).match(
            key
        )

    @given(
        st.lists(st.tuples(st.booleans(), patterns, st.integers(0, 3), keys), max_size=25),
        st.integers(1, 4),
    )
    def test_adds_removes_and_matches_in_any_order(
        self, steps: list[tuple[bool, str, int, str]], memo_size: int
    ) -> None:
        """Any history gives the answers, and the nodes, of a new index of what is left."""
        index: RoutingIndex[int] = RoutingIndex(memo_size)
        left: dict[int, set[str]] = {}
        for add, pattern, value, key in steps:
            if add:
                index.add(pattern, value)
                left.setdefault(value, set()).add(pattern)
            else:
                index.remove(pattern, value)
                left.get(value, set()).discard(pattern)
                left = {value: its for value, its in left.items() if its}
            expected = [
                v
                for v, its in left.items()
                if any(plainly_matches(words(p), words(key)) for p in its)
            ]
            assert tuple(expected) == index.match(key)
        assert node_count(index._root) == 1 + len(prefixes(left))  # noqa: SLF001  # memory cannot be seen from outside

    def test_a_value_with_several_matching_patterns_comes_once(self) -> None:
        """An event that matches two patterns of a subscription is delivered once."""
        index = index_of(("policy.updated", "a"), ("#", "b"), ("policy.*", "a"))
        assert index.match("policy.updated") == ("a", "b")

    def test_a_value_stays_until_its_last_pattern_goes(self) -> None:
        """Removing one pattern leaves the others."""
        index = index_of(("a", 1), ("#", 1))
        index.remove("#", 1)
        assert index.match("a") == (1,)
        assert index.match("b") == ()

    def test_a_pair_counts_once(self) -> None:
        """Adding a known pair changes nothing, nor does removing an unknown one."""
        index = index_of(("a", 1), ("a", 1))
        index.remove("a", 1)
        index.remove("a", 1)
        assert index.match("a") == ()

    def test_a_value_that_was_removed_comes_back_last(self) -> None:
        """Removing all of its patterns loses its place."""
        index = index_of(("a", 1), ("a", 2))
        index.remove("a", 1)
        index.add("a", 1)
        assert index.match("a") == (2, 1)

    def test_an_answer_is_remembered_until_something_changes(self) -> None:
        """The same key again returns the same tuple; after a change it is found anew."""
        index = index_of(("a", 1))
        first = index.match("a")
        assert index.match("a") is first
        index.add("*", 2)
        assert index.match("a") == (1, 2)

    def test_memory_is_bounded_when_keys_never_repeat(self) -> None:
        """No more than `memo_size` answers are kept."""
        index = index_of(("#", 1), memo_size=10)
        for number in range(1000):
            assert index.match(f"key.{number}") == (1,)
            assert len(index._memo) <= 10  # noqa: SLF001  # memory cannot be seen from outside

    @pytest.mark.parametrize(
        "unrelated", ["other{}.updated", "policy.other{}", "*.other{}", "#.other{}", "#.other{}.#"]
    )
    def test_ten_thousand_unrelated_subscriptions_cost_nothing(self, unrelated: str) -> None:
        """A match takes the same steps among 10,000 other patterns, first time and later."""
        related = [("policy.updated", "a"), ("policy.*", "b"), ("#", "c")]
        beside_one = index_of(*related, (unrelated.format(0), 0))
        among_many = index_of(
            *related, *((unrelated.format(number), number) for number in range(10_000))
        )
        for _ in ("first", "again"):
            alone = lines_run(lambda: beside_one.match("policy.updated"))
            assert lines_run(lambda: among_many.match("policy.updated")) == alone
        assert among_many.match("policy.updated") == ("a", "b", "c")

    def test_threads_see_earlier_changes(self) -> None:
        """A match never returns a stale answer or raises while other threads add and remove."""
        index = index_of(("#", "stays"))
        failures: list[object] = []
        done = threading.Event()

        def match() -> None:
            while not done.is_set():
                if "stays" not in (found := index.match("a.b")):
                    failures.append(found)

        def change(own: str) -> None:
            for _ in range(500):
                index.add("a.*", own)
                failures.extend([] if own in index.match("a.b") else [f"{own} is missing"])
                index.remove("a.*", own)
                failures.extend([f"{own} is still there"] if own in index.match("a.b") else [])

        readers = [threading.Thread(target=match) for _ in range(2)]
        writers = [threading.Thread(target=change, args=(name,)) for name in "xyz"]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for thread in readers + writers:
                thread.start()
            for thread in writers:
                thread.join()
        finally:
            done.set()
            sys.setswitchinterval(interval)
        for thread in readers:
            thread.join()
        assert failures == []


def node_count(node: Any) -> int:
    return 1 + sum(node_count(child) for child in node.children.values())


def prefixes(left: dict[int, set[str]]) -> set[tuple[str, ...]]:
    """Return the nodes that the trie needs: every beginning of every pattern that is left."""
    return {
        tuple(words(pattern)[:length])
        for patterns_left in left.values()
        for pattern in patterns_left
        for length in range(1, len(words(pattern)) + 1)
    }


WORDS = st.lists(st.sampled_from(["a", "b", "*", "#"]), min_size=1, max_size=4)


@given(WORDS, WORDS, st.lists(st.sampled_from(["a", "b"]), max_size=5))
def test_patterns_that_match_one_key_overlap(
    one: list[str], other: list[str], key: list[str]
) -> None:
    first, second, both = ".".join(one), ".".join(other), ".".join(key)
    if matches(first, both) and matches(second, both):
        assert overlap(first, second)
    assert overlap(first, second) == overlap(second, first)


@pytest.mark.parametrize(("one", "other", "expected"), [
    ("trade.#", "trade", True), ("trade.#", "#.executed", True), ("*.b", "a.*", True),
    ("trade.#", "price.#", False), ("trade", "trade.*", False), ("a.*.c", "a.#.b", False),
    ("*.#.*", "a", False), ("#.a.#", "#.b.#", True), (".".join("#" * 127), "a.#.b", True),
])  # fmt: skip
def test_overlap_of_patterns(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is expected
