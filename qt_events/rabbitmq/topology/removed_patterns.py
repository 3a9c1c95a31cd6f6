"""RemovedPatterns: patterns of subscriptions that this process has unsubscribed. Thread-safe."""

import threading
from collections.abc import Iterable

_NONE: frozenset[str] = frozenset()


class RemovedPatterns:
    """Sets of patterns, by the name of their subscription."""

    def __init__(self) -> None:
        self._patterns: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """Forget who held the lock: another thread of the parent."""
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def of(self, name: str) -> frozenset[str]:
        return self._patterns.get(name, _NONE)

    def copy(self) -> dict[str, frozenset[str]]:
        with self._lock:
            return dict(self._patterns)

    def add(self, name: str, pattern: str) -> None:
        with self._lock:
            self._patterns[name] = self.of(name) | {pattern}

    def take(self, name: str, patterns: Iterable[str]) -> None:
        """Remove these patterns: they are subscribed again, or written down."""
        with self._lock:
            left = self.of(name).difference(patterns)
            self._patterns.pop(name, None)
            if left:
                self._patterns[name] = left
