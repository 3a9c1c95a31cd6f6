"""Redefinition: a handler made again by the lines that made its predecessor.

A notebook runs a cell twice, and a module is reloaded. Neither is another handler.
"""

import inspect
import sys
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, Self

from qt_events.delivery.subscribing.subscription import unwrapped

# All that is typed at Python's prompt has this file's name; from 3.13 on each input has its own.
_PROMPT = "<stdin>"


def function_in(handler: Any) -> Any:
    """Return the function that a call of the handler runs first."""
    handler = unwrapped(handler)
    method = getattr(handler, "__func__", handler)
    return method if hasattr(method, "__code__") else type(handler).__call__


@dataclass(frozen=True, eq=False)
class Origin:
    """Origin of a handler, and the run of its lines in which it was subscribed."""

    #: Of the function that a call runs first; None for one of C.
    code: CodeType | None
    #: Its module and its full name there.
    place: tuple[str, str]
    #: Of its module: each import and each reload makes another.
    spec: object
    #: The cell of a notebook, or the lines at a prompt, that subscribed it.
    cell: CodeType | None

    @classmethod
    def of(cls, handler: Any) -> Self:
        """Return the origin of a handler that is being subscribed."""
        function = function_in(handler)
        module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
        spec = getattr(sys.modules.get(module), "__spec__", None)
        return cls(getattr(function, "__code__", None), (module, name), spec, _cell())

    def follows(self, other: "Origin") -> bool:
        """Return True if this is the other's handler, made again by another run."""
        if self.code is None or self.place != other.place:
            return False
        if self.spec is not other.spec:
            return True
        if self.cell is None or other.cell is None or self.cell is other.cell:
            return False
        is_defined_again = self.place[0] == "__main__" and self.code is not other.code
        return is_defined_again or self.cell.co_filename == other.cell.co_filename != _PROMPT

    def repeats(self, other: "Origin") -> bool:
        """Return True if it follows the other word by word, as a lambda in a cell may."""
        return (
            self.follows(other)
            and self.code == other.code
            and self.cell is not None
            and other.cell is not None
            and self.cell.co_filename == other.cell.co_filename
        )


def _cell() -> CodeType | None:
    """Return the outermost code of an interactive session; None in a program."""
    main = sys.modules.get("__main__")
    if main is None or hasattr(main, "__file__"):
        return None
    frame: FrameType | None = inspect.currentframe()
    cell = None
    while frame is not None:
        if frame.f_globals is vars(main):
            cell = frame.f_code
        frame = frame.f_back
    return cell
