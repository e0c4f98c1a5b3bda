"""The edits that figures of single cases show, from rows of schema "cases"."""

import numpy as np
import pandas as pd

from reedit.report.figures.drawing import Rows
from reedit.report.rows.lines import Method, iterative, methods_of


def iterative_methods(runs: Rows) -> list[Method]:
    """The iterative methods that edited something, each once."""
    return list({m.path: m for m in iterative(methods_of(runs)) if m.edited}.values())


def edits_of(frame: pd.DataFrame, method: Method) -> pd.DataFrame:
    """The rows of "cases" of one method, k from 1 on; a trial that has ended stands where it ended."""
    of_method = np.logical_and.reduce(
        [
            frame[name] == value
            for name, value in zip(("model", "dataset", "method"), method.path, strict=True)
        ]
    )
    edits = frame[of_method & (frame["k"] >= 1)]
    later = [
        edits[(edits["trial"] == trial) & (edits["k"] == end)].assign(k=k)
        for trial, end in zip(method.trials, method.ends, strict=True)
        for k in range(end + 1, method.last + 1)
    ]
    return pd.concat([edits, *later]) if later else edits
