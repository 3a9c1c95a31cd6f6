"""pytest-celery's fixtures over processes instead of containers; only test_fleet.py needs them."""

pytest_plugins = ["qt_events.testing.pytest_celery"]
