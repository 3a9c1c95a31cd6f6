"""What users' own backends and tests can run.

broker.py       PrivateBroker: a RabbitMQ node of one's own; Broker: what tests may ask of one
management.py   Management: RabbitMQ's HTTP API, as far as tests need it
provision.py    open_broker(): a private node, or the broker that was given; installs one if asked
keeper.py       Keeper: a folder and processes that end with their owner
ports.py        free_ports()
"""
