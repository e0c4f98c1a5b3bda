"""Mutually exclusive samples of cases, one a trial (paper, section 4.1)."""

from collections.abc import Sequence

import numpy as np

from reedit.errors import InputError


def sample_split(
    case_ids: Sequence[int], edits: int | str, trials: int, seed: int, order: str = "random"
) -> list[dict[str, int]]:
    """Rows of the schema ``split``: `edits` cases for each of `trials` trials, no case twice.

    `case_ids` are the candidates in file order; `edits` "all" takes them all, in that order, for the one
    trial. `order` random draws with the seed; file gives the first `edits` cases to trial 1, the next to
    trial 2. Raises InputError where there are too few.
    """
    if not case_ids:
        raise InputError("no eligible case: no case keeps enough neighbors, expected at least one")
    if edits == "all":
        if trials != 1:
            raise InputError(f"edits: all leaves nothing for {trials} exclusive trials, expected trials: 1")
        return [{"trial": 1, "position": i, "case_id": case_id} for i, case_id in enumerate(case_ids)]
    if len(case_ids) < edits * trials:
        raise InputError(
            f"{len(case_ids)} cases to sample from, expected at least {edits * trials}"
            f" ({trials} exclusive trials of {edits} edits)"
        )
    drawn = np.arange(len(case_ids))
    if order == "random":
        drawn = np.random.default_rng(seed).permutation(drawn)
    return [
        {"trial": i // edits + 1, "position": i % edits, "case_id": case_ids[index]}
        for i, index in enumerate(drawn[: edits * trials].tolist())
    ]
