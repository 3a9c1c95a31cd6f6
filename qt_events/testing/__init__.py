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
broker.py          PrivateBroker: a RabbitMQ node of one's own; Broker: what tests may ask of one
cluster.py         PrivateCluster: three nodes of one's own that are one broker
node.py            Node: one of them, and every way to harm it
erlang.py          ErlangHost: what nodes share
proxy.py           Proxy: a TCP proxy that does harm when told to
wire.py            one connection through it
ledger/            Ledger: what was attempted, confirmed and handled while things broke, and what that adds up to
installed.py       the rabbitmq-server that is installed
given.py           GivenBroker: one that somebody lends
management.py      Management: RabbitMQ's HTTP API, as far as tests need it
postgres.py        PrivatePostgres: a PostgreSQL server of one's own
chromium.py        a headless Chromium of one's own
faketime.py        the installed libfaketime: wall clocks that jump
provision.py       open_broker(): a private node, or the broker that was given; what tests need, installed if asked
packages.py        Debian packages, installed
keeper.py          Keeper: a folder and processes that end with their owner
ports.py           free_ports()

The pytest plugin itself is the package pytest_qt_events; docs/testing.md shows it.
"""
