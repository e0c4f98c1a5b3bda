"""The cases that pass the neighbor filter here beside those of a published list (paper, Appendix B.2)."""

from collections.abc import Mapping, Sequence
from typing import Any

from reedit.prepare.facts import Fact
from reedit.prepare.roles import by_case, is_eligible


def eligibility(
    model: str, pool: Sequence[Fact], filtered: Sequence[Mapping[str, Any]], published: Sequence[Fact]
) -> dict[str, str | int]:
    """One row of schema "eligible"; `filtered`: the filter's rows of the pool."""
    rows = by_case(filtered)
    known = {_key(fact) for fact in pool}
    anew = {_key(fact) for fact in pool if is_eligible(rows.get(fact.case_id, []), [])}
    listed = {_key(fact) for fact in published}
    return {
        "model": model,
        "cases": len(pool),
        "eligible": len(anew),
        "published": len(listed),
        "both": len(anew & listed),
        "only_anew": len(anew - listed),
        "only_published": len((listed & known) - anew),
        "not_in_pool": len(listed - known),
    }


def _key(fact: Fact) -> tuple[str, str, str]:
    """Tells a case in files that number their cases differently."""
    return fact.subject, fact.prompt, fact.target_new
