"""Old place of JsonFormatter and TextFormatter, which configurations of logging may still name."""

import warnings
from typing import TYPE_CHECKING, Any

from qt_events.logs import formatters

# Hidden from type checkers, which would take every name for granted.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return a formatter from its new place, with a DeprecationWarning."""
        if name in {"JsonFormatter", "TextFormatter"}:
            new = f"{formatters.__name__}.{name}"
            message = f"qt_events.log_lines.{name} is deprecated: write {new}"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return getattr(formatters, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
