"""Batching: handlers that take many events at a time.

batch_lane.py      a lane whose events are handled many at a time
batches.py         one attempt at many events, and BatchFailed
haste.py           reasons to wait for no further events
in_memory.py       batch subscriptions of InMemoryEventBus
"""
