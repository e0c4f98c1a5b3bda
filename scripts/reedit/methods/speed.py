"""What `speed: fast` of a run makes of its methods: less work, and other edits.

Straight steps in place of Adam (docs/performance.md), edits that leave when they are done, and OPTIMIZATION
in bfloat16 where the machine computes in it (edit/editor.py). SPREAD and what is measured stay as they are.
"""

from collections.abc import Mapping
from typing import Any

from reedit.methods.algorithms import Algorithm

SPEEDS = ("exact", "fast")
STEP = 0.2  # of the norm of h


def faster(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """With straight steps, unless they have a length already."""
    return {"step_length": STEP, **hyperparameters}


def leaves_fast(algorithm: Algorithm, leaves: str, otherwise: bool) -> str:
    """When edits leave: once their gap is closed, where targets can be held and are not `otherwise`."""
    return "gap" if algorithm.can_hold and not otherwise else leaves
