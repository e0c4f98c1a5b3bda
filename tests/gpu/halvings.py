"""How often the library had to halve what it had taken on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def halvings() -> Iterator[list[str]]:
    """The lines about a lack of memory that the library logs in the block."""
    heard: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "out of memory" in record.getMessage():
                heard.append(record.getMessage())

    handler, logger = Listening(), logging.getLogger("reedit")
    logger.addHandler(handler)
    try:
        yield heard
    finally:
        logger.removeHandler(handler)
