"""The formats that a dataset of the configuration can have."""

from collections.abc import Sequence
from pathlib import Path

from reedit.prepare.counterfact import load_counterfact
from reedit.prepare.facts import Dataset
from reedit.prepare.zsre import load_zsre

FORMATS = {"counterfact": load_counterfact, "zsre": load_zsre}


def load_dataset(form: str, paths: Sequence[Path], malformed: str = "error") -> Dataset:
    """The facts of one file or several, in order; `form` is one of FORMATS.

    malformed: error raises InputError with the file, the case and the field of all cases that cannot be read;
    drop leaves them out.
    """
    return FORMATS[form](*paths, malformed=malformed)
