"""`python -m qt_events`: the command line, for an environment whose scripts are not on the path."""

from qt_events.cli import main

if __name__ == "__main__":
    main()
