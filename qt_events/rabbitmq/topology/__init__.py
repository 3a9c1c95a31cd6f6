"""Topology: exchanges, queues and bindings on the broker.

object_names.py    every name
names.py           Topology: every argument and binding
declare.py         declaring, or checking that something exists
pipeline.py        declarations sent without waiting for each answer
batches.py         how many of them before an answer is awaited
known.py           what this process has declared, while the connections for it stand
standing.py        the subscriptions on the broker, declared together and once
once.py            what a publish needs besides them
ways.py            where outcomes put copies: each declared before the first one
turns.py           one process at a time, where the broker needs that
broker_lock.py     a lock that one process holds on the broker
declarations.py    the subscriptions and delay levels that are declared already
register.py        what the processes of a prefix have declared, as data
ownership.py       whose a subscription is, and what follows if another one declares it
register_queue.py  the register as one message on the broker
registration.py    a process's part in it, and what it knows from there
removed_patterns.py  what a process has unsubscribed, by subscription
consumed_queues.py  the queues of subscriptions as a worker consumes them
queues.py          SubscriptionQueue: the queue names the task
trust.py           the route of a message, and the headers that are believed for it
"""
