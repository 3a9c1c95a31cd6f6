"""Waiting: events that are in this process, and not yet handled.

capacity.py        the number of events that a bus may hold, and the line for a place
lanes.py           events that wait in this process, in a lane for each subscription
newcomers.py       new subscriptions that get the events of the past first
clock.py           time for retries: the event loop's, or a test's own
manual_clock.py    a clock that stands until it is told to go on
"""
