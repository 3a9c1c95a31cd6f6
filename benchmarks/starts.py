"""What a process costs before it does anything: its imports, and its memory, each in an interpreter of its own."""

from textwrap import dedent

from benchmarks import interpreter
from benchmarks.case import Sample
from benchmarks.proc import MB

_CPU = "import resource; u = resource.getrusage(resource.RUSAGE_SELF); print((u.ru_utime + u.ru_stime) * 1000)"
_MEMORY = "import resource; print(int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize())"
_BARE = "import pydantic"
_OURS = "import qt_events"
_WITH_BUS = "import qt_events; qt_events.InMemoryEventBus"  # imported when it is asked for
_MODELS = """
    def all_of(kind):
        return [each for sub in kind.__subclasses__() for each in (sub, *all_of(sub))]
    from pydantic import BaseModel
    import sys
    assert "celery" not in sys.modules
    print(len([each for each in all_of(BaseModel) if each.__module__.startswith("qt_events")]))
"""
_AS_MANY = """
    import asyncio
    from pydantic import BaseModel
    for number in range({count}):
        class Payload(BaseModel):
            name: str
            symbol: str
            size: float
            price: float
            note: str | None = None
"""
_SUBSCRIBED = """
    import qt_events
    bus = qt_events.InMemoryEventBus()
    def another():
        async def handle(event): ...
        return handle
    for number in range(1000):
        bus.subscribe(f"type{number}.happened", another(), name=f"subscription.{number}")
"""


def _answer(*parts: str) -> float:
    return float(interpreter.answer("-c", "\n".join(dedent(part) for part in parts)))


def models() -> int:
    """How many pydantic models `import qt_events` builds; it must not import celery."""
    return int(_answer(_OURS, _MODELS))


def import_ours() -> Sample:
    """CPU milliseconds of an interpreter that imports qt_events."""
    return {"cpu_ms": _answer(_OURS, _CPU)}


def import_with_bus() -> Sample:
    """The same with the bus in memory, which is imported when it is asked for."""
    return {"cpu_ms": _answer(_WITH_BUS, _CPU)}


def import_as_much() -> Sample:
    """The same for asyncio and pydantic with as many models."""
    return {"cpu_ms": _answer(_AS_MANY.format(count=models()), _CPU)}


def memory() -> Sample:
    """MB of a bus with 1,000 subscriptions, over two interpreters: one that has built a model, and one that has not."""
    ours = _answer(_SUBSCRIBED, _MEMORY) / MB
    return {
        "over_mb": ours - _answer(_AS_MANY.format(count=1), _MEMORY) / MB,
        "over_bare_mb": ours - _answer(_BARE, _MEMORY) / MB,
    }
