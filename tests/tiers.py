"""Which parameters of a test are left to `-m long`."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def long_but(values: Iterable[Any], brief: Callable[[Any], bool]) -> list[Any]:
    """All values, those that are not `brief` marked long; a tuple stands for several parameters."""
    return [
        value
        if brief(value)
        else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.long)
        for value in values
    ]
