"""Topic patterns of AMQP: their checks, matching, and an index over many.

Words are separated by dots; `*` is exactly one word, `#` none or more (AMQP 0-9-1, 3.1.3.3 "The
Topic Exchange Type"). Where that text says nothing, this module follows RabbitMQ
(`rabbit_db_topic_exchange`; an integration test compares the two):

- an empty word is a word: `a..b` has three, `*` matches the middle one, and `.` has two
- the empty key has no words: `#` and the empty pattern match it, `*` does not
- `*` and `#` are wildcards only as whole words and in patterns: `pol*` is a word of four characters

`matches` and `RoutingIndex` take all of these, for any program may publish to the exchange.
`validate_pattern` and `validate_routing_key` refuse those that can only be a mistake.
"""

import functools
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, combinations, groupby, islice, product
from typing import Generic, TypeVar

from qt_events.errors import InvalidPatternError

T = TypeVar("T")

# A routing key is a short string: AMQP 0-9-1, 4.2.5.3.
MAX_BYTES = 255
MOST_HASHES = 2  #: `#` in one pattern: RabbitMQ 4.3 refuses to bind by more
# Keys: a program has tens of event types, only keys made up at run time exceed this.
MEMO_SIZE = 4096

_WILDCARDS = ("*", "#")
_MOST_SPELLINGS = 50
# AMQP forbids NUL in short strings, CloudEvents 1.0 ("Type System", String) every control character
# and surrogate.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def validate_pattern(pattern: object) -> str:
    """Return `pattern`, if it is a topic pattern that can match an event type.

    Raises:
        InvalidPatternError: it is no string, is empty, has over 255 bytes in UTF-8, control
            characters, an empty word, or a `*` or `#` that is only a part of a word.
    """
    words = _validate_words("topic pattern", pattern)
    for word in words:
        if word not in _WILDCARDS and any(wildcard in word for wildcard in _WILDCARDS):
            raise InvalidPatternError(
                f"{pattern!r} is no topic pattern: a wildcard stands for whole words, so {word!r} "
                "would match only itself; write '*' for one word or '#' for any number of words, "
                "between dots"
            )
    return ".".join(words)


def bindable_pattern(pattern: object) -> str:
    """Return the pattern by which a queue is bound, which matches what `pattern` does.

    Wildcards beside each other come as `*`, then one `#`: `#.#` is `#`, and `#.*` is `*.#`.

    Raises:
        InvalidPatternError: see `validate_pattern`; or RabbitMQ 4.3 would refuse it, for there are
            more than two `#` even then.
    """
    words: list[str] = []
    for is_wildcard, group in groupby(
        validate_pattern(pattern).split("."), _WILDCARDS.__contains__
    ):
        beside = list(group)
        words += ["*"] * beside.count("*") + ["#"] * ("#" in beside) if is_wildcard else beside
    if words.count("#") > MOST_HASHES:
        raise InvalidPatternError(
            f"{pattern!r} is no topic pattern that a queue can be bound by: RabbitMQ 4.3 takes "
            f"{MOST_HASHES} '#' in one; name the words between, or subscribe by more than one "
            "pattern"
        )
    return ".".join(words)


def spelling_of(binding: str) -> str:
    """Return the `bindable_pattern` of a binding that another release or program has made."""
    try:
        return bindable_pattern(binding)
    except InvalidPatternError:
        return binding


def spellings(pattern: str) -> list[str]:
    """Return the pattern, then others of the same meaning: a former release bound as was written.

    Not of more `#` than RabbitMQ 4.3 takes.
    """
    groups = [
        list(_orders(list(beside))) if is_wildcard else [list(beside)]
        for is_wildcard, beside in groupby(pattern.split("."), _WILDCARDS.__contains__)
    ]
    found = (".".join(chain(*words)) for words in product(*groups))
    few = (each for each in found if each.split(".").count("#") <= MOST_HASHES)
    return list(dict.fromkeys([pattern, *islice(few, _MOST_SPELLINGS)]))


def _orders(wildcards: list[str]) -> Iterator[list[str]]:
    if "#" not in wildcards:
        yield wildcards
        return
    stars = wildcards.count("*")
    for hashes in range(1, MOST_HASHES + 1):
        for places in combinations(range(stars + hashes), hashes):
            yield ["#" if at in places else "*" for at in range(stars + hashes)]


def overlap(one: str, other: str) -> bool:
    """Return True if there is a type that both patterns match."""
    left, right = one.split("."), other.split(".")

    @functools.cache
    def meet(i: int, j: int) -> bool:
        """Compare the words from these on."""
        if i == len(left) or j == len(right):
            return all(word == "#" for word in (*left[i:], *right[j:]))
        if "#" in {left[i], right[j]}:
            # It ends before the other's word, or takes that.
            return meet(i + 1, j) or meet(i, j + 1)
        return (left[i] == right[j] or "*" in {left[i], right[j]}) and meet(i + 1, j + 1)

    return meet(0, 0)


def validate_routing_key(type: object) -> str:
    """Return `type`, if it can be the type of an event, and so its routing key.

    Raises:
        InvalidPatternError: as for `validate_pattern`, or there is a `*` or `#` in it.
    """
    words = _validate_words("event type", type)
    if any(wildcard in word for wildcard in _WILDCARDS for word in words):
        raise InvalidPatternError(
            f"{type!r} is no event type: '*' and '#' are for patterns; name one type, such as "
            "'policy.updated'"
        )
    return ".".join(words)


#: `validate_routing_key` with a memory, for a str.
routing_key = functools.lru_cache(MEMO_SIZE)(validate_routing_key)


def _validate_words(noun: str, text: object) -> list[str]:
    if not isinstance(text, str):
        raise InvalidPatternError(
            f"{text!r:.200} is no {noun}: it must be a string of words with dots between, such as "
            "'policy.updated'"
        )
    if (size := len(text.encode(errors="surrogatepass"))) > MAX_BYTES:
        raise InvalidPatternError(
            f"'{text[:40]}...' is no {noun}: it has {size} bytes in UTF-8, AMQP carries "
            f"{MAX_BYTES}; shorten it"
        )
    if found := _FORBIDDEN.search(text):
        raise InvalidPatternError(
            f"{text!r} is no {noun}: take out {found.group()!r}, AMQP or CloudEvents forbids it"
        )
    if "" in text.split("."):
        raise InvalidPatternError(
            f"{text!r} is no {noun}: it has an empty word; write words with exactly one dot "
            "between two of them"
        )
    return text.split(".")


def _words(key: str) -> list[str]:
    return key.split(".") if key else []


def matches(pattern: str, key: str) -> bool:
    """Return whether a topic exchange routes this key to a queue bound by this pattern.

    Validates nothing. At worst the time is proportional to the product of the numbers of words.
    """
    pattern_words, key_words = _words(pattern), _words(key)
    at = here = 0
    # Place to go on from when the last `#` has to take one word more.
    after_hash, resume = None, 0
    while here < len(key_words):
        word = pattern_words[at] if at < len(pattern_words) else None
        if word == "#":
            at = after_hash = at + 1
            resume = here
        elif word in ("*", key_words[here]):
            at, here = at + 1, here + 1
        elif after_hash is not None:
            resume += 1
            at, here = after_hash, resume
        else:
            return False
    return all(word == "#" for word in pattern_words[at:])


@dataclass(eq=False, slots=True)
class _Entry(Generic[T]):
    """A value of the index, and the patterns that find it."""

    value: T
    rank: int  #: matches are in this order
    patterns: set[str] = field(default_factory=set)


class _Node(Generic[T]):
    """A node of the trie: the words that may come next, and the entries that end here."""

    __slots__ = ("children", "entries", "takes_any_word")

    def __init__(self, *, takes_any_word: bool = False) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.entries: set[_Entry[T]] = set()
        # The node of a `#`: any further word leads back to it.
        self.takes_any_word = takes_any_word

    def child(self, word: str) -> "_Node[T]":
        """Return the node behind `word`, made if need be."""
        if word not in self.children:
            self.children[word] = _Node(takes_any_word=word == "#")
        return self.children[word]

    def after(self, word: str) -> "Iterator[_Node[T]]":
        """Yield the nodes to which one more word of a key leads."""
        if self.takes_any_word:
            yield self
        if "*" in self.children:
            yield self.children["*"]
        if word in self.children:
            yield self.children[word]


def _with_hashes(nodes: Iterable[_Node[T]]) -> list[_Node[T]]:
    """Return each node once, and those to which a `#` leads that stands for no word."""
    reached: dict[_Node[T], None] = {}
    for start in nodes:
        node: _Node[T] | None = start
        while node is not None and node not in reached:
            reached[node] = None
            node = node.children.get("#")
    return list(reached)


class _Memo(dict[str, tuple[T, ...]]):
    """Answers by key: all but the first one cost the lookup of a dict."""

    def __init__(self, answer: Callable[[str], tuple[T, ...]]) -> None:
        self._answer = answer

    def __missing__(self, key: str) -> tuple[T, ...]:
        return self._answer(key)


class RoutingIndex(Generic[T]):
    """Hashable values by topic pattern, for many patterns: a trie by word, with remembered answers.

    A key that was asked for before costs one dict lookup. Any other costs the trie nodes on its
    path, whatever the number of patterns that begin otherwise. Up to `memo_size` answers are
    remembered, and all are forgotten with each change.

    Patterns are not validated; a malformed one matches as it does on RabbitMQ.

    Threads may call anything at any time. A `match` that overlaps with an `add` or `remove` answers
    as before it or as after it; one that starts after it has returned, as after it. Changes and
    new keys wait for each other; remembered answers wait for nothing.
    """

    def __init__(self, memo_size: int = MEMO_SIZE) -> None:
        self._lock = threading.Lock()
        self._root: _Node[T] = _Node()
        self._entries: dict[T, _Entry[T]] = {}
        self._next_rank = 0
        self._memo_size = memo_size
        self._memo: _Memo[T] = _Memo(self._match_anew)
        #: Return the values with a pattern that matches a key, each once, in the order in which
        #: they were first added.
        self.match: Callable[[str], tuple[T, ...]] = self._memo.__getitem__

    def after_fork(self) -> None:
        """Go on in a forked child: a thread of its parent may have been matching."""
        self._lock = threading.Lock()

    def add(self, pattern: str, value: T) -> None:
        """Find `value` by `pattern` from now on; a known pair changes nothing, as on RabbitMQ."""
        with self._lock:
            entry = self._entries.get(value)
            if entry is None:
                entry = self._entries[value] = _Entry(value, self._next_rank)
                self._next_rank += 1
            entry.patterns.add(pattern)
            self._path(pattern)[-1].entries.add(entry)
            self._memo.clear()

    def remove(self, pattern: str, value: T) -> None:
        """Find `value` by `pattern` no longer; an unknown pair changes nothing, as on RabbitMQ.

        A value without patterns is forgotten: added again, it comes last.
        """
        with self._lock:
            entry = self._entries.get(value)
            if entry is None or pattern not in entry.patterns:
                return
            entry.patterns.remove(pattern)
            if not entry.patterns:
                del self._entries[value]
            self._prune(pattern, entry)
            self._memo.clear()

    def _match_anew(self, key: str) -> tuple[T, ...]:
        with self._lock:
            found = self._walk(key)
            if len(self._memo) >= self._memo_size:
                self._memo.clear()
            self._memo[key] = found
            return found

    def _walk(self, key: str) -> tuple[T, ...]:
        nodes = _with_hashes([self._root])
        for word in _words(key):
            nodes = _with_hashes(after for node in nodes for after in node.after(word))
        found = {entry for node in nodes for entry in node.entries}
        return tuple(entry.value for entry in sorted(found, key=lambda entry: entry.rank))

    def _path(self, pattern: str) -> list[_Node[T]]:
        path = [self._root]
        for word in _words(pattern):
            path.append(path[-1].child(word))
        return path

    def _prune(self, pattern: str, entry: _Entry[T]) -> None:
        """Remove the entry from the end of its path, and the nodes that nothing needs any more."""
        path = self._path(pattern)
        path[-1].entries.remove(entry)
        for parent, word, node in zip(
            path[-2::-1], reversed(_words(pattern)), path[:0:-1], strict=True
        ):
            if node.entries or node.children:
                return
            del parent.children[word]
