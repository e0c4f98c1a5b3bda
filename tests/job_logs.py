"""Logs of jobs that run in the tests' own process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def own_handlers() -> Iterator[None]:
    """Jobs add handlers for the life of their process; a test's process lives on."""
    logger = logging.getLogger("reedit")
    before, level, raising = list(logger.handlers), logger.level, logging.raiseExceptions
    yield
    for handler in set(logger.handlers) - set(before):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(level)
    logging.raiseExceptions = raising
