"""Support of this project's own tests and of its developers' commands; nothing of it is installed.

waiting.py      until(): waiting for what another process does
lasting.py      the queues that a first dead letter would have declared
channels.py     channels of py-amqp, past the library
harmed_nodes.py  the node that tests harm, and another once it does not recover
buses.py        MakeBus: buses that are closed with their test
memory_folder.py  temporary files in memory, where there is room
fleet/          worker processes, remote control, Flower
contract/       the contract suite's backends of this project
stored.py       events and fates as a history keeps them, made for tests
outbox_load.py  orders for relays that are killed, and what became of them
starts.py       a recorder for newcomers, and their old events
shop.py         a shop with a table of orders and an outbox
conversations.py  a conversation and its fates, made for tests
history_load.py  events for recorders that are killed, and what became of them
chromium.py     a headless Chromium of one's own
faketime.py     the installed libfaketime: wall clocks that jump
provision.py    what tests need of the machine, installed if asked
packages.py     Debian packages, installed
pages.py        code blocks of the documentation, found and run
rerun/          pytest for CI: a few failed tests are run once more, alone
ran_on.py       a line that says on which Python, broker and libraries tests ran
versions.py     tests on the lowest and newest versions: `make test-versions`
first_words.py  the rule for docstrings' first words
measures.py     the layout in figures: `make measures`
"""
