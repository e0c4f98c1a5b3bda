"""The one exception whose message is meant for the user, and what such messages are made with."""

import difflib
from collections.abc import Iterable
from typing import Any

LONGEST = 1200  # characters of a message
LONGEST_COUNT = 9  # digits
MENDED = "; if a job of the workflow made it, `make verify` says how it is made anew"


class InputError(Exception):
    """A bad input. The message is one line: where it is, what was found, what was expected.

    What it quotes is data: control characters become spaces, a terminal would obey them, and of a very long
    message the middle is left out.
    """

    def __init__(self, message: str) -> None:
        line = "".join(c if c.isprintable() else " " for c in message)
        if len(line) > LONGEST:
            line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
        super().__init__(line)


def nearest(name: Any, known: Iterable[Any]) -> str:
    """ " (did you mean X?)", or the list of what is known."""
    known = [str(item) for item in known]
    close = difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {close[0]}?)" if close else f" (known: {', '.join(known) or 'none'})"


def is_count(text: str) -> bool:
    """Whether a text is a whole number from 1 to 999999999; Python reads no thousands of digits."""
    return text.isdecimal() and len(text) <= LONGEST_COUNT and int(text) > 0


def is_unicode(text: str) -> bool:
    """Whether a text can be written: JSON may hold halves of a character, lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
