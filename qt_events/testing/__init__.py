"""Testing with the bus: fixtures' buses, assertions, a private broker, the contract suite.

observed.py        ObservedEventBus: any bus, recorded; the fixture `event_bus`
observed_outbox.py  ObservedOutbox: claims about what waits in an outbox
assertions.py      Assertions: questions and claims about what happened on a bus
journal.py         Journal: the record behind the assertions
story.py           the record as text, for a test that fails
buses.py           Buses: the buses of one test, opened and closed; Choice: their backend
clock.py           ManualClock: time that passes when a test says so
contract/          the contract suite: the rules that every EventBus keeps
pytest_celery.py   pytest-celery's cluster on local processes
worker_process.py  WorkerProcess: one `celery worker`
broker/            PrivateBroker: a RabbitMQ node of your own
cluster.py         PrivateCluster: three nodes that form one broker
proxy/             Proxy: a TCP proxy that does harm when told to
ledger/            Ledger: an account of every event while things break
keeper.py          Keeper: a folder and processes that end with their owner
ports.py           free_ports()

The pytest plugin is the package pytest_qt_events; docs/testing.md shows how to use it.
"""
