"""What users' own backends and tests can run.

observed.py        ObservedEventBus: any bus, with a memory of what it did; what the fixture `event_bus` is
assertions.py      what a test may ask and claim of it
journal.py         Journal: what it remembers
story.py           its story, as a test that fails shows it
buses.py           Buses: those of one test, from their start to what they leave behind
choice.py          Choice: which bus `--event-bus` means
clock.py           ManualClock: time that passes when a test says so
contract/          the contract suite: what every EventBus does
pytest_celery.py   pytest-celery's cluster on local processes
worker_process.py  WorkerProcess: one `celery worker`
broker/            PrivateBroker: a RabbitMQ node of one's own; Broker: what tests may ask of one
cluster.py         PrivateCluster: three nodes of one's own that are one broker
proxy/             Proxy: a TCP proxy that does harm when told to
ledger/            Ledger: what was attempted, confirmed and handled while things broke, and what that adds up to
keeper.py          Keeper: a folder and processes that end with their owner
ports.py           free_ports()

The pytest plugin itself is the package pytest_qt_events; docs/testing.md shows it.
"""
