"""ManualClock: time that passes when a test says so. A rerun of a history uses it, too."""

from qt_events.delivery.waiting.manual_clock import ManualClock, ManualTimer

__all__ = ["ManualClock", "ManualTimer"]
