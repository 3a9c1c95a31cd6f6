"""Dead letters: what failed for good, kept until an operator sends it back or discards it.

record.py       DeadLetterRecord, groups of them, and the DeadLetters Protocol
operations.py   what an operator does, for every backend
scan.py         one pass through dead letters: checked, sent back at a pace, removed
in_memory.py    dead letters of a bus without a broker
"""
