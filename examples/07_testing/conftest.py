"""Only test_fleet.py needs this: pytest-celery's fixtures, over processes instead of containers."""

pytest_plugins = ["qt_events.testing.pytest_celery"]
