"""What the jobs of one run share: the cases of its trial, and the neighbors that evaluate them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reedit.prepare.facts import Fact, Neighbor, read_facts
from reedit.prepare.roles import by_case, evaluated_neighbors
from reedit.storage import parquet

PREFIX = "The following is true. "


def trial_facts(
    paths: Mapping[str, Path], trial: int
) -> tuple[list[Fact], dict[int, list[Mapping[str, Any]]]]:
    """The facts of one trial in split order, and the filter's rows of each case (none without a filter).

    `paths`: facts, split and, where neighbors were filtered, neighbors. Cases that the split has behind a
    prefix stand there, for whoever edits and scores them.
    """
    prefixed = set(parquet.read_provenance(paths["split"]).get("prefixed", ()))
    facts = {
        fact.case_id: behind_prefix(fact) if fact.case_id in prefixed else fact
        for fact in read_facts(paths["facts"])
    }
    split = [row for row in parquet.read(paths["split"], "split") if row["trial"] == trial]
    chosen = [facts[row["case_id"]] for row in sorted(split, key=lambda row: row["position"])]
    rows = parquet.read(paths["neighbors"], "neighbors") if "neighbors" in paths else []
    return chosen, by_case(rows)


def behind_prefix(fact: Fact) -> Fact:
    """A fact whose subject is not the first token of its text any more.

    The remedy of Yang et al. 2024, The fall of ROME: such facts are edited, and asked for, behind a prefix.
    """
    return replace(fact, prompt=PREFIX + fact.prompt)


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
