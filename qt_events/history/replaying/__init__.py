"""Replaying: events sent again, and days run again.

replay.py            Replayed: events sent to one subscription again
replay_request.py    ReplayRequest: what a replay was asked for, and how far it is
rerunning.py         root events once more through an app's subscriptions, in memory
comparison.py        what a rerun published against what the history has, by causation
"""
