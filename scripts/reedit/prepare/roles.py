"""Who of a case's neighbors assists an edit, and who evaluates it (paper, Appendix B.2)."""

from collections.abc import Mapping, Sequence
from typing import Any

from reedit.errors import InputError
from reedit.prepare.facts import Fact, Neighbor


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
    return len(kept) > len(assistants_of_any(rows, assisting))


def assistants_of_any(rows: Sequence[Mapping[str, Any]], assisting: Sequence[tuple[int, str]]) -> set[int]:
    """Neighbors of a case that assist any of the methods."""
    return {row["neighbor"] for n, choice in assisting for row in _able_to_assist(rows, choice)[:n]}


def _able_to_assist(rows: Sequence[Mapping[str, Any]], choice: str) -> list[Mapping[str, Any]]:
    """The kept neighbors of known subject in the order of their turn: `order` (random), or the file's."""
    able = [row for row in rows if row["kept"] and row["subject"] is not None]
    return sorted(able, key=lambda row: row["neighbor" if choice == "first" else "order"])


def choose_assistants(
    case_id: int, rows: Sequence[Mapping[str, Any]], count: int, choice: str
) -> list[Mapping[str, Any]]:
    """The `count` neighbors that assist a case.

    `rows`: its rows of the filter. Raises InputError, naming the case, where fewer are kept.
    """
    able = _able_to_assist(rows, choice)
    if len(able) < count:
        raise InputError(
            f"case {case_id}: {len(able)} neighbors can assist, expected {count}"
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
    used = assistants_of_any(rows, assisting)
    kept = {row["neighbor"] for row in rows if row["kept"]}
    return [
        neighbor for i, neighbor in enumerate(fact.neighbors) if i not in used and (not eligible or i in kept)
    ]
