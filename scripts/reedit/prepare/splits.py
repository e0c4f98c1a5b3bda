"""Mutually exclusive samples of cases, one a trial (paper, section 4.1)."""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from reedit.errors import InputError


def sample_split(
    files: Sequence[Sequence[int]], edits: int | str, trials: int, seed: int
) -> list[dict[str, int]]:
    """Rows of the schema ``split``: `edits` cases for each of `trials` trials, no case twice.

    `files` has the candidates of each file of the dataset, case_ids in file order. A number of edits is
    drawn from them all with the seed; "all" takes every case in file order: of all files for a single
    trial, of one file each for as many trials as there are files. Raises InputError where there are too few.
    """
    candidates = list(chain.from_iterable(files))
    if not candidates:
        raise InputError("no eligible case: no case keeps enough neighbors, expected at least one")
    if edits == "all":
        if trials not in (1, len(files)):
            raise InputError(
                f"edits: all leaves nothing for {trials} exclusive trials, expected trials: 1, or one for"
                f" each of the dataset's {len(files)} files"
            )
        chosen = [candidates] if trials == 1 else [list(file) for file in files]
    else:
        if len(candidates) < edits * trials:
            raise InputError(
                f"{len(candidates)} cases to sample from, expected at least {edits * trials}"
                f" ({trials} exclusive trials of {edits} edits)"
            )
        drawn = np.random.default_rng(seed).permutation(len(candidates)).tolist()
        chosen = [[candidates[i] for i in drawn[t * edits : (t + 1) * edits]] for t in range(trials)]
    return [
        {"trial": trial, "position": position, "case_id": case_id}
        for trial, cases in enumerate(chosen, start=1)
        for position, case_id in enumerate(cases)
    ]
