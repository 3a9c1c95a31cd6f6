"""Measure a process before it does anything: its imports and its memory.

Every measurement starts a new interpreter.
"""

from textwrap import dedent

from benchmarks import interpreter
from benchmarks.case import Sample
from benchmarks.proc import MB

_CPU = """
    import resource
    used = resource.getrusage(resource.RUSAGE_SELF)
    print((used.ru_utime + used.ru_stime) * 1000)
"""
_MEMORY = """
    import resource
    print(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize())
"""
_BARE = "import pydantic"
_OURS = "import qt_events"
# The bus is imported on first use.
_WITH_BUS = "import qt_events; qt_events.InMemoryEventBus"
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
    """Return the number of pydantic models that `import qt_events` builds.

    Importing must not import celery; the program asserts that.
    """
    return int(_answer(_OURS, _MODELS))


def import_ours() -> Sample:
    """Measure CPU milliseconds of an interpreter that imports qt_events."""
    return {"cpu_ms": _answer(_OURS, _CPU)}


def import_with_bus() -> Sample:
    """Measure like `import_ours`, with the in-memory bus, which is imported on first use."""
    return {"cpu_ms": _answer(_WITH_BUS, _CPU)}


def import_as_much() -> Sample:
    """Measure the same for asyncio and pydantic with as many models."""
    return {"cpu_ms": _answer(_AS_MANY.format(count=models()), _CPU)}


def memory() -> Sample:
    """Measure MB of a bus with 1,000 subscriptions, over two other interpreters.

    One of them has built a model, the other has only imported pydantic.
    """
    ours = _answer(_SUBSCRIBED, _MEMORY) / MB
    return {
        "over_mb": ours - _answer(_AS_MANY.format(count=1), _MEMORY) / MB,
        "over_bare_mb": ours - _answer(_BARE, _MEMORY) / MB,
    }
