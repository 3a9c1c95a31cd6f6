"""A TCP proxy in front of a broker, for tests of a bad network.

proxy.py  Proxy: the faults, and what has gone through
wire.py   Wire: one connection through it
"""

from qt_events.testing.proxy.proxy import Direction, Proxy, Traffic

__all__ = ["Direction", "Proxy", "Traffic"]
