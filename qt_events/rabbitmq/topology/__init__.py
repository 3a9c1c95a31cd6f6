"""Topology: exchanges, queues and bindings on the broker.

names.py          every name and argument
declare.py        declare, or check that it exists
declarations.py   which subscriptions and delay levels are declared already
queues.py         SubscriptionQueue: the queue names the task
trust.py          by which way a message came, and what of it is believed
"""
