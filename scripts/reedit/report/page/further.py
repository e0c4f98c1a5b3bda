"""What the page shows beside the scores, where an experiment has it: own words, groups, norms."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reedit.prepare.groups import Item
from reedit.report.page.values import significant
from reedit.report.rows.lines import Method, key_of
from reedit.storage import parquet

NORMS = ("update_norm", "growth", "condition_growth", "residual_after")  # of "norm_summary"
SHOWN = 3  # answers of an item
DIGITS = 4  # of a measure


def further(inputs: Any, settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """The last parts of Results, of what rule render_page is given: groups to norms."""
    keys, grouped = (list(map(key_of, settings[name])) for name in ("runs", "grouped"))
    groups = dict(zip(dict.fromkeys(key[1] for key in grouped), inputs.groups, strict=True))
    portability = dict(zip(grouped, inputs.portability, strict=True))
    generations = dict(zip(keys, inputs.generations, strict=True)) if inputs.generations else {}
    norms = parquet.read(inputs.norms, "norm_summary") if inputs.norms else []
    return groups, portability, generations, norms


def own_words(path: Path | str, asked: pa.Table) -> dict[str, Any]:
    """What a run says itself to the prompts of `asked` (schema "scores"), and whether that gives the answer.

    By k, as `asked` has them; null where a prompt was not asked in that form.
    """
    said = parquet.read_complete(path, "generations")
    ks = sorted(pc.unique(asked["k"]).to_pylist())
    texts, right = [], []
    for k in ks:
        of_k = _in_turn(said.filter(pc.field("k") == k), ("case_id", "metric", "prompt"))
        wanted = _numbered(asked.filter(pc.field("k") == k), ("case_id", "metric", "prompt"))
        rows = [of_k.get(key) for key in wanted]
        texts.append([row and row["generated"] for row in rows])
        right.append([row and significant(row["judged_true"], DIGITS) for row in rows])
    return {"k": ks, "right": right} | _coded(texts)


def sample_items(case_ids: Sequence[int], items: Sequence[Item]) -> dict[str, Any]:
    """The items of some cases, in the order of these: whose, in which group, and their answers."""
    own = _of_cases(case_ids, items)
    place = {case: number for number, case in enumerate(case_ids)}
    return {
        "case": [place[item.case_id] for item in own],
        "group": [item.group.replace("_", " ") for item in own],
        "prompt": [item.prompt for item in own],
        "answers": [list(item.answers[:SHOWN]) for item in own],
        "judged": [item.judged for item in own],
    }


def item_answers(path: Path | str, case_ids: Sequence[int], ks: Sequence[int]) -> dict[str, Any]:
    """What a run says to the items of these cases at some k: columns by k, in the order of sample_items."""
    table = parquet.read_complete(path, "portability")
    order = {case: number for number, case in enumerate(case_ids)}
    found: dict[str, Any] = {"k": [], "accuracy": [], "right": []}
    texts, known = [], None
    for k in sorted({0, *ks} & set(pc.unique(table["k"]).to_pylist())):
        rows = table.filter(pc.field("k") == k).to_pylist()
        rows.sort(key=lambda row: order[row["case_id"]])  # stable: as they were asked within a case
        found["k"].append(k)
        found["accuracy"].append([significant(row["accuracy"], DIGITS) for row in rows])
        found["right"].append([significant(row["judged_true"], DIGITS) for row in rows])
        texts.append([row["generated"] for row in rows])
        known = [row["premise_known"] for row in rows] if k == 0 else known
    return found | {"known": known} | _coded(texts)


def norm_courses(method: Method, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The norms of a method by k, from rows of "norm_summary"; nothing where it has none."""
    own = [row for row in rows if (row["model"], row["dataset"], row["method"]) == method.path]
    if not own:
        return {}
    return {
        "norms": {"k": [row["k"] for row in own]}
        | {n: [significant(row[n], DIGITS) for row in own] for n in NORMS}
    }


def _of_cases(case_ids: Sequence[int], items: Sequence[Item]) -> list[Item]:
    by_case: dict[int, list[Item]] = {}
    for item in items:
        by_case.setdefault(item.case_id, []).append(item)
    return [item for case in case_ids for item in by_case.get(case, [])]


def _numbered(table: pa.Table, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """A key of each row: some columns, and how many rows alike stand before it."""
    counts: dict[tuple[Any, ...], int] = {}
    keys = []
    for key in zip(*(table[name].to_pylist() for name in names), strict=True):
        counts[key] = counts.get(key, -1) + 1
        keys.append((*key, counts[key]))
    return keys


def _in_turn(table: pa.Table, names: Sequence[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return dict(zip(_numbered(table, names), table.to_pylist(), strict=True))


def _coded(texts: Sequence[Sequence[str | None]]) -> dict[str, Any]:
    """Texts as numbers of words, each word once: most are said at several k."""
    words = list(dict.fromkeys(text for of_k in texts for text in of_k if text is not None))
    place = {word: number for number, word in enumerate(words)}
    return {
        "words": words,
        "said": [[None if text is None else place[text] for text in of_k] for of_k in texts],
    }
