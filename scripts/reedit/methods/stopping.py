"""When to stop iterating: the paper's criterion and the two it is compared with (section 4, Table 4).

All work on the values for k = 1..K so far: |Delta p_k| pairs an iteration's optimised and edited
perplexities, Delta p2_k the edited perplexities of neighboring iterations.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise, takewhile

from reedit.errors import InputError

EPSILON = 1.0  # of perplexity; the paper's choice
RULES = ("none", "proposed", "monotonic", "small_change")


Values = Sequence[float | None]  # None: not measured


def met(rule: str, delta_p: Values, delta_p2: Values) -> int | None:
    """The k (from 1) to keep once `rule` says stop, None while it does not.

    proposed: the first k with delta_p <= EPSILON. monotonic: the iteration before the first one whose
    delta_p no longer falls. small_change: the first k with delta_p2 <= EPSILON. none: never.
    NaN, infinity and what was not measured meet no criterion; a delta_p that is not finite does not count as
    falling, and monotonic goes as far as all was measured. Raises InputError for an unknown rule.
    """
    if rule not in RULES:
        raise InputError(f"stop: unknown rule {rule!r}, expected one of {', '.join(RULES)}")
    if rule == "proposed":
        return _first_small(delta_p)
    if rule == "small_change":
        return _first_small(delta_p2)
    if rule == "monotonic":
        measured = takewhile(lambda value: value is not None, delta_p)
        for k, (before, value) in enumerate(pairwise(measured), start=2):
            # a finite value after one that was not has fallen
            if not math.isfinite(value) or (math.isfinite(before) and value >= before):
                return k - 1
    return None


def choose(rule: str, delta_p: Values, delta_p2: Values) -> tuple[int, bool]:
    """The k to show and whether the criterion was met; where it was not, the last k.

    Raises InputError for an unknown rule or where there is no iteration to choose from.
    """
    kept = met(rule, delta_p, delta_p2)
    if kept is not None:
        return kept, True
    if len(delta_p) == 0:
        raise InputError("no iteration to choose from: the run has no k >= 1")
    return len(delta_p), False


def selected(iterations: Sequence[Mapping[str, float | None]]) -> tuple[int, bool]:
    """`choose` by the proposed rule for one run, from its rows k = 1, 2, ... (delta_p, delta_p2).

    A run is one trial: no trial knows of the others, so what is kept, exported and shown is chosen in each.
    """
    return choose("proposed", *([row[name] for row in iterations] for name in ("delta_p", "delta_p2")))


def _first_small(values: Values) -> int | None:
    small = (k for k, value in enumerate(values, start=1) if value is not None and abs(value) <= EPSILON)
    return next(small, None)
