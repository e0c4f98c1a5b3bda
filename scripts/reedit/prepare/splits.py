"""Mutually exclusive samples of cases, one a trial (paper, section 4.1), of those that can be edited."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np

from reedit.errors import InputError
from reedit.prepare.apart import apart
from reedit.prepare.cases import in_one_line
from reedit.prepare.facts import Fact, by_fact, by_file
from reedit.prepare.roles import by_case, choose_assistants, is_eligible
from reedit.prepare.settings import SplitSettings


@dataclass(frozen=True)
class Unfit:
    """A case that cannot be edited, and the first of its rows that tells."""

    case_id: int
    role: str  # of that row: case, assistant or evaluation; or conflict, beside another case
    reason: str


FilterRows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Pool:
    """The facts of a dataset, how many of them each of its files has, and which belong together.

    Those of one case of the data (`together`, by case_id) are sampled together or not at all.
    """

    facts: Sequence[Fact]
    sizes: Sequence[int]
    together: Sequence[tuple[int, ...]] = ()

    def whole(self, case_ids: Sequence[int]) -> list[tuple[int, ...]]:
        """Cases of which all facts are among these, in their order, each as the case_ids of its facts."""
        case_of = by_fact(self.together)
        among = set(case_ids)
        cases = dict.fromkeys(case_of.get(one, (one,)) for one in case_ids)
        return [case for case in cases if among.issuperset(case)]


class Fitness(Protocol):
    """Who knows what a model can make of cases (evaluate/fitness.py)."""

    def unfit(self, facts: Sequence[Fact], filtered: Mapping[int, FilterRows]) -> list[Unfit]:
        """Those of some facts that cannot be edited beside the others; `filtered`: the filter's rows."""

    def warnings(self, facts: Sequence[Fact]) -> list[str]:
        """What should be known of the facts of one trial before they are edited."""

    def first_tokens(self, facts: Sequence[Fact]) -> list[int]:
        """The cases whose subject is the first token of all."""


def make_split(
    pool: Pool, filtered: FilterRows, fitness: Fitness, settings: SplitSettings
) -> tuple[list[dict[str, int]], dict[str, Any]]:
    """Rows of the schema ``split``, and what was left out on the way to them, for their provenance.

    `filtered`: rows of the neighbor filter, none where it did not run. The second value has the numbers of
    facts: `cases` in all, `eligible` of them, and with misaligned: drop `aligned` of those and `left_out`,
    the others with role and reason; where some are kept for tuning `for_tuning` and `for_runs`; `warnings`;
    and `prefixed`, those that first_token: prefixed edits behind a prefix. Raises InputError where too few
    are left, where sampled cases cannot be edited, and where one lacks assistants.
    """
    log, cases = logging.getLogger("reedit"), by_case(filtered)
    facts, listed = pool.facts, by_file(pool.facts, pool.sizes)
    assisting, counts = settings.assisting, {"cases": len(facts)}
    if settings.apart:
        kept = set(apart([fact.case_id for fact in facts], settings.apart, settings.seed, pool.together))
        facts = [fact for fact in facts if fact.case_id not in kept]
        counts |= {"for_tuning": len(kept), "for_runs": len(facts)}
    if settings.eligible:
        facts = [fact for fact in facts if is_eligible(cases.get(fact.case_id, []), assisting)]
        counts["eligible"] = len(facts)
    if settings.misaligned == "drop":
        facts, found = fitting(facts, cases, fitness)
        counts |= {"aligned": len(facts), "left_out": [asdict(one) for one in found]}
    numbers = {name: count for name, count in counts.items() if name != "left_out"}
    if len(set(numbers.values())) > 1:
        log.info("candidates: %s", numbers)
    candidates = {fact.case_id: fact for fact in facts}
    files = [pool.whole([case_id for case_id in file if case_id in candidates]) for file in listed]
    rows = sample_split(files, settings.edits, settings.trials, settings.seed)
    sampled = [
        [candidates[row["case_id"]] for row in rows if row["trial"] == trial]
        for trial in range(1, settings.trials + 1)
    ]
    for fact in chain.from_iterable(sampled):
        for count, choice in assisting:
            choose_assistants(fact.case_id, cases.get(fact.case_id, []), count, choice)
    if settings.misaligned == "error":
        refuse([one for trial in sampled for one in fitness.unfit(trial, cases)], len(rows))
    counts["warnings"] = [line for trial in sampled for line in fitness.warnings(trial)]
    for line in counts["warnings"]:
        log.warning("%s", line)
    if settings.first_token == "prefixed":
        counts["prefixed"] = fitness.first_tokens(list(chain.from_iterable(sampled)))
    return rows, counts


def fitting(
    facts: Sequence[Fact], filtered: Mapping[int, FilterRows], fitness: Fitness
) -> tuple[list[Fact], list[Unfit]]:
    """The facts that can be edited, and the others, each with a line; InputError where none can be."""
    found = fitness.unfit(facts, filtered)
    for one in found:
        logging.getLogger("reedit").info("left out (%s): %s", one.role, one.reason)
    left_out = {one.case_id for one in found}
    fit = [fact for fact in facts if fact.case_id not in left_out]
    if found and not fit:
        raise InputError(f"no case can be edited, {len(found)} are left out: {found[0].reason}")
    return fit, found


def refuse(found: Sequence[Unfit], sampled: int) -> None:
    """Raise InputError, of one line for all of them, if any of the sampled cases cannot be edited."""
    if not found:
        return
    what = f"{len(found)} of {sampled} sampled cases cannot be edited"
    raise InputError(in_one_line([one.reason for one in found], f"{what} (misaligned: drop leaves them out)"))


def sample_split(
    files: Sequence[Sequence[tuple[int, ...]]], edits: int | str, trials: int, seed: int
) -> list[dict[str, int]]:
    """Rows of the schema ``split``: `edits` facts for each of `trials` trials, no case twice.

    `files` has the candidates of each file of the dataset in file order, each the case_ids of the facts of a
    case: one, mostly. A number of edits is drawn from them all with the seed, whole cases only; "all" takes
    every case in file order: of all files for a single trial, of one file each for as many trials as there
    are files. Raises InputError where there are too few.
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
        known = sum(map(len, candidates))
        if known < edits * trials:
            raise InputError(
                f"{known} cases to sample from, expected at least {edits * trials}"
                f" ({trials} exclusive trials of {edits} edits)"
            )
        drawn = np.random.default_rng(seed).permutation(len(candidates)).tolist()
        left = [candidates[i] for i in drawn]
        chosen = [_taken(left, edits) for _ in range(trials)]
    return [
        {"trial": trial, "position": position, "case_id": case_id}
        for trial, cases in enumerate(chosen, start=1)
        for position, case_id in enumerate(chain.from_iterable(cases))
    ]


def _taken(left: list[tuple[int, ...]], edits: int) -> list[tuple[int, ...]]:
    """The first cases of `left` with so many facts in all, or as many as whole cases have; they leave it."""
    taken, free = [], edits
    for case in left:
        if len(case) <= free:
            taken.append(case)
            free -= len(case)
        if not free:
            break
    if not taken:
        raise InputError(f"{edits} edits: no case has so few facts, expected at least {min(map(len, left))}")
    if free:
        told = "%d of %d edits: whole cases, which have several facts, leave no more"
        logging.getLogger("reedit").warning(told, edits - free, edits)
    gone = set(taken)
    left[:] = [case for case in left if case not in gone]
    return taken
