"""App: the Celery app that a bus sets up, or joins.

configuration.py   an app that a bus makes, and what it sets on one of a user's
named_app.py       an app with a bus, by the name of its module
command_line.py    options that a bus adds to Celery's command line
help_texts.py      help texts of options, without an import
task_registration.py  subscriptions as tasks and queues of the app
selection.py       the subscriptions that one worker serves
logs.py            Celery's logs in our form
"""
