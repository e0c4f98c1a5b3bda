"""The formats that a dataset of the configuration can have."""

from collections.abc import Sequence
from pathlib import Path

from reedit.prepare.counterfact import load_counterfact
from reedit.prepare.facts import Dataset
from reedit.prepare.zsre import load_zsre


def load_dataset(form: str, paths: Sequence[Path]) -> Dataset:
    """The facts of one file or several, in order; `form` is counterfact or zsre.

    Raises InputError with the file, the case and the field.
    """
    if form == "zsre":
        return load_zsre(*paths)
    return load_counterfact(*paths)
