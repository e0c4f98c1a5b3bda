"""What the jobs of one run share: the cases of its trial, and the neighbors that evaluate them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reedit.prepare.facts import Fact, Neighbor, read_facts
from reedit.prepare.roles import by_case, evaluated_neighbors
from reedit.storage import parquet


def trial_facts(
    paths: Mapping[str, Path], trial: int
) -> tuple[list[Fact], dict[int, list[Mapping[str, Any]]]]:
    """The facts of one trial in split order, and the filter's rows of each case (none without a filter).

    `paths`: facts, split and, where neighbors were filtered, neighbors.
    """
    facts = {fact.case_id: fact for fact in read_facts(paths["facts"])}
    split = [row for row in parquet.read(paths["split"], "split") if row["trial"] == trial]
    chosen = [facts[row["case_id"]] for row in sorted(split, key=lambda row: row["position"])]
    rows = parquet.read(paths["neighbors"], "neighbors") if "neighbors" in paths else []
    return chosen, by_case(rows)


def scored_neighbors(
    facts: Sequence[Fact],
    filtered: Mapping[int, list[Mapping[str, Any]]],
    eligible: bool,
    assisting: Sequence[Sequence[Any]],
) -> dict[int, list[Neighbor]]:
    """The neighbors that evaluate each case; `assisting`: [count, choice] of the entry's assisted methods."""
    return {
        fact.case_id: evaluated_neighbors(fact, filtered.get(fact.case_id, []), eligible, assisting)
        for fact in facts
    }
