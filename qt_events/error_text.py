"""Error text: an exception in words, for logs, dead letters and metrics. Raises nothing."""


def name_of_type(error: BaseException) -> str:
    """The exception's type, with its module unless it is a builtin."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def text_of(error: BaseException) -> str:
    """The exception's text."""
    try:
        return str(error)
    except Exception as unprintable:  # noqa: BLE001  # a handler's own exception class may break here too
        return f"(its text cannot be read: {type(unprintable).__name__})"
