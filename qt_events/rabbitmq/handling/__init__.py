"""Handling: from a message to its outcome, the same on every worker pool.

attempt.py      one attempt, and its outcome made safe: delay level, dead letters, quarantine
copies.py       what an outcome puts into a delay level, the dead letters or quarantine
giving_back.py  decision about an event that only another release can handle; no I/O
quarantine.py   decision about an event that comes back without an outcome; no I/O
"""
