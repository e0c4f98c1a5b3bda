"""The one exception whose message is meant for the user."""


class InputError(Exception):
    """A bad input. The message is one line: where it is, what was found, what was expected."""
