"""Subscribing: who hears what.

subscription.py    one subscriber: name, handler, patterns and options
subscriptions.py   the subscribers of a bus, by name, by handler, by what they hear
starting.py        the event that a new subscription begins with
handler_names.py   the default name of a subscription, and who a handler is
annotations.py     the event class that a handler says it takes
redefinition.py    a handler made again by a notebook's cell or a reload
"""
