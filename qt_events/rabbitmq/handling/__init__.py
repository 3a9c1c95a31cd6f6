"""Handling: from a message to its outcome, the same on every worker pool.

attempt.py      one attempt, and its outcome made safe: delay level, dead letters, quarantine
quarantine.py   decision about an event that comes back without an outcome; no I/O
"""
