"""The facts of a dataset that tuning may see: a fixed share of them, which runs of tuned values leave out."""

from collections.abc import Sequence
from hashlib import sha256


def apart(case_ids: Sequence[int], share: float, seed: int) -> list[int]:
    """A share of the cases, in a seeded order.

    Which ones they are depends on nothing but a dataset's own numbers: not on what a model knows of them, nor
    on their order, so that tuning and any run of the same dataset and seed mean the same ones.
    """
    drawn = sorted(case_ids, key=lambda case_id: sha256(f"{seed} {case_id}".encode()).digest())
    return drawn[: round(share * len(drawn))]
