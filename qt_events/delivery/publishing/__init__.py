"""Publishing, as far as every bus knows it: its result, and where events wait for a broker.

published.py   Published: where an event is when its publish returns
spooling.py    Spool: what a bus needs of the local disk while its broker is away
"""
