"""What a process costs before it does anything: its imports, and its memory, each in an interpreter of its own."""

import json
import subprocess
import sys
from textwrap import dedent

_CPU = "import resource; u = resource.getrusage(resource.RUSAGE_SELF); print((u.ru_utime + u.ru_stime) * 1000)"
_MEMORY = "import json; print(int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6)"
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
    source = "\n".join(dedent(part) for part in parts)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)  # noqa: S603
    return float(json.loads(done.stdout.split()[-1]))


def models() -> int:
    """How many pydantic models `import qt_events` builds; it must not import celery."""
    return int(_answer("import qt_events", _MODELS))


def import_ours() -> dict[str, float]:
    """CPU milliseconds of an interpreter that imports qt_events."""
    return {"cpu_ms": _answer("import qt_events; qt_events.Event; qt_events.InMemoryEventBus", _CPU)}


def import_as_much() -> dict[str, float]:
    """The same for asyncio and pydantic with as many models."""
    return {"cpu_ms": _answer(_AS_MANY.format(count=models()), _CPU)}


def memory() -> dict[str, float]:
    """MB of a bus with 1,000 subscriptions, over an interpreter with asyncio and pydantic."""
    return {"mb": _answer(_SUBSCRIBED, _MEMORY) - _answer(_AS_MANY.format(count=models()), _MEMORY)}
