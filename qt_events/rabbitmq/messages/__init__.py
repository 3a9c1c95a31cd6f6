"""Messages: a message as plain data, on its way to a handler and beyond."""
