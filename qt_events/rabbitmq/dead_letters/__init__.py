"""Dead letters on the broker.

operations.py   list, send back and discard them
reader.py       consume them, and put the others back in order
"""
