"""App: the Celery app that a bus sets up, or joins.

configuration.py   settings that a bus needs, and its defaults
named_app.py       an app with a bus, by the name of its module
command_line.py    options that a bus adds to Celery's command line
help_texts.py      help texts of options, without an import
selection.py       the subscriptions that one worker serves
logs.py            Celery's logs in our form
"""
