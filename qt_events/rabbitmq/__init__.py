"""RabbitMQ through Celery: beside qt_events.testing, the only room that imports celery, kombu and amqp.

In the order of an event's life:

bus.py            CeleryEventBus: the facade
configuration.py  what a bus sets in its Celery app
command_line.py   Celery's command line: what a bus adds to it, and how it is run
named_app.py      an app with a bus, by the name of its module
logs.py           Celery's own logs in the form of ours
registration.py   a subscription as a task and queues of the Celery app
connection/       how a connection comes about: URLs, TLS, the first host that answers
                  publishing
orders.py         what a publisher is asked to do, and who waits for the end of it
basic_publish.py  a publish as bytes; no I/O
publisher.py      one connection, many events in flight
session.py        the life of one publisher connection
confirms.py       ledger of unconfirmed delivery tags; no I/O
nacks.py          what the broker could not store, until it is tried again; no I/O
forking.py        what a forked child makes anew
                  on the broker
declarations.py   which subscriptions and delay levels stand there already
topology.py       every name and argument of exchanges and queues
difference.py     in what a queue differs from what was to be declared
standing.py       declared, or found standing where this user may declare nothing
                  serving
serving.py        whether, on which pool and loop, and until when this process delivers
worker.py         the Celery worker inside the caller's process
selection.py      which of the subscriptions a worker serves
consumer.py       Celery's consumer, its event loop handed to asyncio
hub.py            Celery's event loop, stepped by asyncio
loop.py           a thread for an event loop
                  handling
queues.py         SubscriptionQueue: the queue names the task
provenance.py     by which way a message came, and so what of it is believed
envelope.py       a message as it came, on its way to a handler and beyond
arrival.py        a message enters the asyncio pool, as a Delivery
acks.py           many acknowledgements in one
pool.py           the asyncio worker pool
strategy.py       a message enters Celery's own pools, as a Request
prefork.py        Celery's pool of processes, less a hole
pools.py          worker pools by their names, and what of a worker's options each heeds
handler_thread.py  where Celery's own pools call handlers, within reach of the soft time limit
remote_control.py  what a pool cannot do is answered by name
solitude.py       many handlers beside each other, or one alone
quarantine.py     what becomes of an event that comes back without an outcome; no I/O
task_events.py    what monitors are told of tasks (`-E`), while the broker takes it
tasks.py          one attempt, and outcome -> delay level, dead letters; for every pool
                  afterwards
outstanding.py    what join() waits for
dead_letters.py   a look at them: what it sends back, and to whom
dead_letters_reader.py  takes them out of their queues, and puts back in order what stays
operating/        what an operator does: dead letters, permissions, the inventory, Flower
                  instead of all that
eager.py          `task_always_eager`: publish runs the handlers itself
"""
