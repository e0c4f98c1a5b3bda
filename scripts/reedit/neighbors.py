"""The neighbor filter of the paper's Appendix B.2, and who assists and who evaluates after it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reedit.errors import InputError
from reedit.facts import Fact, Neighbor
from reedit.language_model import LanguageModel
from reedit.likelihood import greedy_continuations, likelihoods
from reedit.progress import progress
from reedit.tokens import encode, joint_row


def filter_neighbors(
    model: LanguageModel, facts: Sequence[Fact], in_file_order: bool, seed: int
) -> list[dict[str, Any]]:
    """Rows of the schema ``neighbors``: what the unedited model says of every neighbor.

    A neighbor is kept where the teacher-forced argmax equals its object at every token. `order` is the
    rank in which neighbors assist: that of the file, or seeded, case by case.
    """
    listed = [(fact, i, neighbor) for fact in facts for i, neighbor in enumerate(fact.neighbors)]
    said = _predictions(model, list(dict.fromkeys((n.prompt, n.object) for _, _, n in listed)))
    rows = []
    for fact in facts:
        count = len(fact.neighbors)
        ranks = range(count)
        if not in_file_order:
            ranks = np.random.default_rng([seed, fact.case_id]).permutation(count).tolist()
        for i, neighbor in enumerate(fact.neighbors):
            predicted, kept = said[neighbor.prompt, neighbor.object]
            rows.append(
                {
                    "case_id": fact.case_id,
                    "neighbor": i,
                    "subject": neighbor.subject,
                    "prompt": neighbor.prompt,
                    "object": neighbor.object,
                    "predicted": predicted,
                    "kept": kept,
                    "order": ranks[i],
                }
            )
    kept = sum(row["kept"] for row in rows)
    logging.getLogger("reedit").info("%d of %d neighbors kept", kept, len(rows))
    return rows


def _predictions(
    model: LanguageModel, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[str, bool]]:
    """For (prompt, object): the greedy continuation of the object's length, and whether it is the object."""
    rows = [joint_row(model.tokenizer, prompt, obj, f"neighbor {prompt!r}") for prompt, obj in pairs]
    said = likelihoods(model, rows, report=progress("neighbors", len(rows)))
    # what is said up to the first token that is not the object's is the greedy continuation so far
    begun = [
        _greedy_beginning(likelihood.argmax, row.labels) for likelihood, row in zip(said, rows, strict=True)
    ]
    prompts = [
        [*encode(model.tokenizer, prompt), *start] for (prompt, _), start in zip(pairs, begun, strict=True)
    ]
    missing = [len(row.labels) - len(start) for row, start in zip(rows, begun, strict=True)]
    ends = greedy_continuations(
        model, prompts, missing, report=progress("neighbors' continuations", sum(missing))
    )
    texts = [model.tokenizer.decode(start + end).strip() for start, end in zip(begun, ends, strict=True)]
    kept = [likelihood.argmax == row.labels for likelihood, row in zip(said, rows, strict=True)]
    return {pair: (texts[i], kept[i]) for i, pair in enumerate(pairs)}


def _greedy_beginning(argmax: Sequence[int], labels: Sequence[int]) -> tuple[int, ...]:
    """The argmaxes up to and with the first that differs from its label; all where none does."""
    first = next(
        (i for i, (said, label) in enumerate(zip(argmax, labels, strict=True)) if said != label), None
    )
    return tuple(argmax if first is None else argmax[: first + 1])


def by_case(rows: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """The filter's rows of each case."""
    cases: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        cases.setdefault(row["case_id"], []).append(row)
    return cases


def is_eligible(rows: Sequence[Mapping[str, Any]], assisting: Sequence[tuple[int, str]]) -> bool:
    """Whether a case passes B.2: two kept neighbors, enough to assist, and one left to evaluate.

    `rows`: this case's rows of the filter; `assisting`: (count, choice) of every assisted method.
    """
    kept = [row for row in rows if row["kept"]]
    if len(kept) < 2 or sum(row["subject"] is not None for row in kept) < max(
        [0, *(n for n, _ in assisting)]
    ):
        return False
    return len(kept) > len(_assisting(rows, assisting))


def _assisting(rows: Sequence[Mapping[str, Any]], assisting: Sequence[tuple[int, str]]) -> set[int]:
    """Neighbors of a case that assist any of the methods."""
    return {row["neighbor"] for count, choice in assisting for row in choose_assistants(rows, count, choice)}


def choose_assistants(rows: Sequence[Mapping[str, Any]], count: int, choice: str) -> list[Mapping[str, Any]]:
    """The `count` kept neighbors of known subject that assist: by `order` (random), or the file's first.

    `rows`: one case's rows of the filter. Raises InputError, naming the case, where fewer are kept.
    """
    able = [row for row in rows if row["kept"] and row["subject"] is not None]
    able.sort(key=lambda row: row["neighbor" if choice == "first" else "order"])
    if len(able) < count:
        case = f"case {rows[0]['case_id']}" if rows else "a case without neighbors"
        raise InputError(
            f"{case}: {len(able)} neighbors can assist, expected {count}"
            " (set eligible: true to leave such cases out)"
        )
    return able[:count]


def evaluated_neighbors(
    fact: Fact, rows: Sequence[Mapping[str, Any]], eligible: bool, assisting: Sequence[tuple[int, str]]
) -> list[Neighbor]:
    """The neighbors of a case that evaluate every method of one `runs` entry, in file order.

    `rows`: this case's rows of the filter, empty where it did not run; `assisting`: (count, choice) of
    each assisted method of the entry. With `eligible`, only kept neighbors; never one that assists.
    """
    used = _assisting(rows, assisting)
    kept = {row["neighbor"] for row in rows if row["kept"]}
    return [
        neighbor for i, neighbor in enumerate(fact.neighbors) if i not in used and (not eligible or i in kept)
    ]
