"""Dead letters on the broker.

operations.py   look through them, send them back, discard them
reader.py       take them out of their queues, and put back in order what stays
"""
