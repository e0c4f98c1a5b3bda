"""The facts of a dataset that tuning may see: a fixed share of them, which runs of tuned values leave out."""

from collections.abc import Sequence
from hashlib import sha256

from reedit.prepare.facts import by_fact


def apart(
    case_ids: Sequence[int], share: float, seed: int, together: Sequence[tuple[int, ...]] = ()
) -> list[int]:
    """A share of the cases, in a seeded order; those of facts that belong `together` whole.

    Which ones they are depends on nothing but a dataset's own numbers: not on what a model knows of them, nor
    on their order, so that tuning and any run of the same dataset and seed mean the same ones.
    """
    case_of = by_fact(together)
    cases = dict.fromkeys(case_of.get(one, (one,)) for one in case_ids)
    drawn = sorted(cases, key=lambda case: sha256(f"{seed} {case[0]}".encode()).digest())
    there = set(case_ids)
    return [one for case in drawn[: round(share * len(drawn))] for one in case if one in there]
